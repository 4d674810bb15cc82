import { describe, expect, it } from 'vitest';
import { createAnthropicProvider } from '../../../src/providers/anthropic-sdk/provider.ts';
import { createClaudeProvider } from '../../../src/providers/claude/provider.ts';
import { createCodexProvider } from '../../../src/providers/codex/provider.ts';
import { createCursorProvider } from '../../../src/providers/cursor/provider.ts';
import { createGeminiProvider } from '../../../src/providers/gemini/provider.ts';
import type { InteractiveOptions } from '../../../src/providers/interactive.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { builtInOptions } from './settings.ts';

const PLAIN: InteractiveOptions = {
  ...{ model: null, effort: null, permissionMode: 'default', appendSystemPrompt: null },
  ...{ cwd: '/work/repo', scratchDir: '/scratch', trustedWorkspace: true, privatePaths: [] },
};
const SECRET = { real: '/home/user/.secret', written: ['~/.secret'], exists: true };
const interactiveOf = ({ interactive = expect.unreachable() }: Provider) => interactive;
const commandOf = (provider: Provider, asked: Partial<InteractiveOptions> = {}) =>
  interactiveOf(provider).command({ ...PLAIN, ...asked });
const argsOf = (provider: Provider, asked: Partial<InteractiveOptions> = {}) =>
  commandOf(provider, asked).args;
const options = builtInOptions();
const claude = createClaudeProvider(options);
const codex = createCodexProvider(options);
const gemini = createGeminiProvider(options);
const cursor = createCursorProvider(options);

describe('the interactive command', () => {
  it.each([
    [claude, 'default', ['--permission-mode=default']],
    [claude, 'plan', ['--permission-mode=plan']],
    [claude, 'acceptEdits', ['--permission-mode=acceptEdits']],
    [claude, 'fullAccess', ['--dangerously-skip-permissions']],
    [codex, 'fullAccess', ['--no-daemon', '--dangerously-bypass-approvals-and-sandbox']],
    [gemini, 'default', ['--skip-trust', '--approval-mode=default']],
    [gemini, 'plan', ['--skip-trust', '--approval-mode=plan']],
    [gemini, 'acceptEdits', ['--skip-trust', '--approval-mode=auto_edit']],
    [gemini, 'fullAccess', ['--skip-trust', '--approval-mode=yolo']],
    [cursor, 'default', []],
    [cursor, 'plan', ['--mode=plan']],
    [cursor, 'fullAccess', ['--force', '--sandbox', 'disabled']],
  ] as const)('of $0.name in the mode %s', (provider, permissionMode, args) => {
    expect(argsOf(provider, { permissionMode })).toEqual(args);
  });

  it.each([
    ['default', 'on-request', 'read-only'],
    ['plan', 'never', 'read-only'],
    ['acceptEdits', 'on-request', 'workspace'],
  ] as const)('of codex in the mode %s asks %s', (permissionMode, approvals, sandbox) => {
    expect(argsOf(codex, { permissionMode })).toEqual([
      '--no-daemon',
      `--ask-for-approval=${approvals}`,
      '--config=default_permissions="bullpen"',
      `--config=permissions.bullpen.extends=":${sandbox}"`,
    ]);
  });

  it('has the model and the effort joined to their flags', () => {
    const asked = { model: 'big', effort: 'high' } as const;
    expect(argsOf(claude, asked).slice(-2)).toEqual(['--model=big', '--effort=high']);
    expect(argsOf(codex, asked).slice(-2)).toEqual(['--model=big', '--config=model_reasoning_effort="high"']);
    expect(argsOf(gemini, { model: 'big' }).at(-1)).toBe('--model=big');
    expect(argsOf(cursor, { model: 'big' })).toEqual(['--model=big']);
  });

  it('does not trust a workspace that the settings do not trust, as in a job', () => {
    const asked = { trustedWorkspace: false };
    expect(argsOf(claude, asked)).toEqual([
      '--setting-sources=user',
      '--strict-mcp-config',
      '--permission-mode=default',
    ]);
    expect(argsOf(codex, asked)[1]).toBe(
      '--config=projects={"/work"={trust_level="untrusted"},"/work/repo"={trust_level="untrusted"}}',
    );
    const { args, env, files } = commandOf(gemini, { ...asked, permissionMode: 'fullAccess' });
    expect(args).toEqual([
      '--approval-mode=default',
      '--policy=/scratch/tools.toml',
      '--policy=~/.gemini/policies',
    ]);
    expect(env).toEqual({ GEMINI_CLI_TRUST_WORKSPACE: 'false' });
    expect(files?.['tools.toml']).toContain('toolName = "*"');
  });

  it('denies private paths by the same rules as a job', () => {
    const asked = { privatePaths: [SECRET] };
    expect(argsOf(claude, asked)).toContain('--disallowedTools=Read(//home/user/.secret)');
    expect(argsOf(codex, asked)).toContain(
      '--config=permissions.bullpen.filesystem={"/home/user/.secret"="deny"}',
    );
    expect(commandOf(gemini, asked).files?.['tools.toml']).toContain('decision = "deny"');
  });

  it('takes the arguments of the settings, and those for a mode instead of its own', () => {
    const own = builtInOptions({ args: ['--own'], modes: { plan: ['--as-we-plan'] } });
    const asked = { permissionMode: 'plan' } as const;
    expect(argsOf(createClaudeProvider(own), asked)).toEqual(['--own', '--as-we-plan']);
    expect(argsOf(createCodexProvider(own), asked)).toEqual(['--no-daemon', '--own', '--as-we-plan']);
    expect(argsOf(createGeminiProvider(own), asked)).toEqual(['--skip-trust', '--own', '--as-we-plan']);
    expect(argsOf(createCursorProvider(own), asked)).toEqual(['--own', '--as-we-plan']);
  });

  it('never has a text of the caller: claude reads it from a private file, the others refuse it', () => {
    const asked = { appendSystemPrompt: 'Be brief.' };
    const { args, files } = commandOf(claude, asked);
    expect(args.at(-1)).toBe('--append-system-prompt-file=/scratch/append-system-prompt.txt');
    expect(files).toEqual({ 'append-system-prompt.txt': 'Be brief.' });
    for (const provider of [codex, gemini, cursor]) {
      expect(interactiveOf(provider).unsupported({ ...PLAIN, ...asked })).toMatchObject([
        { option: 'appendSystemPrompt' },
      ]);
    }
  });

  it('refuses what the CLI does not have', () => {
    const effort = { ...PLAIN, effort: 'high' } as const;
    expect(interactiveOf(claude).unsupported(effort)).toEqual([]);
    expect(interactiveOf(codex).unsupported(effort)).toEqual([]);
    expect(interactiveOf(gemini).unsupported(effort)).toMatchObject([{ option: 'effort' }]);
    expect(interactiveOf(cursor).unsupported(effort)).toMatchObject([{ option: 'effort' }]);
    const edits = { ...PLAIN, permissionMode: 'acceptEdits' } as const;
    expect(interactiveOf(cursor).unsupported(edits)).toMatchObject([{ option: 'permissionMode' }]);
  });

  it('needs a sandbox for fullAccess as root, and then says so to claude', () => {
    const root = builtInOptions({ runningAsRoot: true });
    const full = { ...PLAIN, permissionMode: 'fullAccess' } as const;
    for (const create of [
      createClaudeProvider,
      createCodexProvider,
      createGeminiProvider,
      createCursorProvider,
    ])
      expect(interactiveOf(create(root)).unsupported(full)).toMatchObject([{ option: 'permissionMode' }]);
    const sandbox = createClaudeProvider(builtInOptions({ runningAsRoot: true, sandboxMarker: true }));
    expect(commandOf(sandbox, full).env).toEqual({ IS_SANDBOX: '1' });
  });

  it('is there exactly where the capabilities have a terminal', () => {
    for (const provider of [claude, codex, gemini, cursor, createAnthropicProvider(options)])
      expect(provider.capabilities.terminal).toBe(provider.interactive !== undefined);
  });
});
