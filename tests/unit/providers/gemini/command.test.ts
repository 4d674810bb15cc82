import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import { createGeminiProvider } from '../../../../src/providers/gemini/provider.ts';
import { builtInOptions } from '../settings.ts';

const gemini = createGeminiProvider(builtInOptions());
const context = { nativeSessionId: null, trustedWorkspace: true, scratchDir: '/scratch' };
const request = resolvedPrompt({ provider: 'gemini', prompt: 'Hello' });

describe('the gemini command', () => {
  it('has the prompt on stdin and never in an argument, and is one process', () => {
    expect(gemini.command(request, context)).toEqual({
      args: ['--output-format=stream-json', '--skip-trust', '--approval-mode=default'],
      stdin: 'Hello',
      env: { GEMINI_CLI_NO_RELAUNCH: 'true', NO_COLOR: '1', GEMINI_CLI_TRUST_WORKSPACE: 'true' },
    });
  });

  it.each([
    ['plan', '--approval-mode=plan'],
    ['acceptEdits', '--approval-mode=auto_edit'],
    ['fullAccess', '--approval-mode=yolo'],
  ] as const)('%s is %s', (permissionMode, arg) => {
    expect(gemini.command({ ...request, permissionMode }, context).args).toContain(arg);
  });

  it("takes the settings' arguments for a mode instead of its own, and puts others before the job's", () => {
    const options = { args: ['--sandbox'], modes: { acceptEdits: ['--policy=/etc/edits.toml'] } };
    const own = createGeminiProvider(builtInOptions(options));
    const { args } = own.command({ ...request, permissionMode: 'acceptEdits', model: 'pro' }, context);
    expect(args.slice(2)).toEqual(['--sandbox', '--policy=/etc/edits.toml', '--model=pro']);
  });

  it('joins the session to its flag, and refuses one that could be read as something else', () => {
    const nativeSessionId = '7be5e090-0943-48d7-a37e-5d44295c9262';
    const { args } = gemini.command(request, { ...context, nativeSessionId });
    expect(args.at(-1)).toBe(`--resume=${nativeSessionId}`);
    for (const id of ['latest', '1', '--yolo', `${nativeSessionId} --yolo`]) {
      expect(() => gemini.command(request, { ...context, nativeSessionId: id })).toThrow('session id');
    }
  });

  it('gives a prompt that begins with a slash as text', () => {
    expect(gemini.command({ ...request, prompt: '/memory show' }, context).stdin).toBe('\n/memory show');
  });

  it.each([
    ['default', ''],
    ['plan', 'deny write_file'],
    ['acceptEdits', 'allow write_file'],
    ['fullAccess', 'allow *'],
  ] as const)('does not trust a workspace by default, and has %s as rules', (permissionMode, rule) => {
    const untrusted = { ...context, trustedWorkspace: false };
    const { args, env, files } = gemini.command({ ...request, permissionMode }, untrusted);
    expect(env).toMatchObject({ GEMINI_CLI_TRUST_WORKSPACE: 'false' });
    expect(args).not.toContain('--skip-trust');
    expect(args).toContain('--approval-mode=default');
    const rules = (files?.['tools.toml'] ?? '').split('\n\n').map((one) => {
      const named = /toolName = "(.*)"/.exec(one)?.[1] ?? '';
      return `${/decision = "(.*)"/.exec(one)?.[1] ?? ''} ${named}`.trim();
    });
    expect(rules).toContain(rule);
  });

  it('allows nothing in plan where the workspace is not trusted', () => {
    const asked = resolvedPrompt({ permissionMode: 'plan', allowedTools: ['run_shell_command'] });
    const { files } = gemini.command(asked, { ...context, trustedWorkspace: false });
    expect(files?.['tools.toml']).not.toContain('allow');
  });

  it('denies every call that names a private path', () => {
    const privatePaths = [
      { real: '/home/a/.x (1)/token', written: ['~/.x (1)/token', '$HOME/.x (1)/token'], exists: true },
      { real: '/work/.claude', written: ['.claude', './.claude'], exists: true },
    ];
    const { args, files } = gemini.command(request, { ...context, privatePaths });
    expect(args).toContain('--policy=/scratch/tools.toml');
    const rules = (files?.['tools.toml'] ?? '').split('\n\n').map((rule) => {
      expect(rule).toContain('toolName = "*"');
      expect(rule).toContain('decision = "deny"\npriority = 999');
      const pattern = /^argsPattern = (.*)$/m.exec(rule)?.[1] ?? expect.unreachable();
      return new RegExp(JSON.parse(pattern) as string); // a TOML string is one of JSON here
    });
    const denied = (command: string): boolean =>
      rules.some((rule) => rule.test(JSON.stringify({ command, description: 'x' })));
    expect(rules).toHaveLength(2);
    for (const command of [
      ...["cat '/home/a/.x (1)/token'", 'cat "~/.x (1)/token"', 'cat "$HOME/.x (1)/token"'],
      ...['cat .claude/login', 'cat ./.claude/login', 'cat "/work/.claude/login"', 'echo a >.claude/login'],
    ]) {
      expect([command, denied(command)]).toEqual([command, true]);
    }
    for (const command of ['cat "/home/a/.x (1)/token2"', 'cat packages/.claude/x', 'cat my.claude']) {
      expect([command, denied(command)]).toEqual([command, false]);
    }
  });

  it("writes lists of tools as rules beside the user's own", () => {
    const { args, files } = gemini.command(
      {
        ...request,
        allowedTools: ['read_file', 'run_shell_command(git log *)', 'run_shell_command(say "hi")'],
        disallowedTools: ['web_fetch'],
      },
      context,
    );
    expect(args.slice(-2)).toEqual(['--policy=/scratch/tools.toml', '--policy=~/.gemini/policies']);
    const allow = 'decision = "allow"\npriority = 1\nmodes = ["default", "autoEdit", "yolo"]\n';
    expect(files).toEqual({
      'tools.toml': [
        `[[rule]]\ntoolName = "read_file"\n${allow}`,
        `[[rule]]\ntoolName = "run_shell_command"\ncommandPrefix = "git log"\n${allow}`,
        `[[rule]]\ntoolName = "run_shell_command"\ncommandPrefix = "say \\"hi\\""\n${allow}`,
        '[[rule]]\ntoolName = "web_fetch"\ndecision = "deny"\npriority = 999\n',
      ].join('\n'),
    });
  });
});

describe('what gemini cannot honour', () => {
  const optionsOf = (changed: Parameters<typeof resolvedPrompt>[0]): string[] =>
    gemini.unsupported(resolvedPrompt({ provider: 'gemini', ...changed })).map(({ option }) => option);

  it('is named', () => {
    expect(
      optionsOf({
        effort: 'high',
        maxCostUsd: 1,
        outputSchema: {},
        appendSystemPrompt: 'Be brief.',
        onPermissionDenied: 'fail',
        providerOptions: { x: 1 },
      }),
    ).toEqual([
      'effort',
      'maxCostUsd',
      'outputSchema',
      'appendSystemPrompt',
      'onPermissionDenied',
      'providerOptions.x',
    ]);
  });

  it.each([
    'read_file(src/*)',
    'mcp_*',
    'run_shell_command(*)',
    'run_shell_command(git * push)',
    'run_shell_command(\u007f)',
    'Bash(git *)',
  ])('are rules like %s', (tool) => {
    expect(optionsOf({ disallowedTools: [tool] })).toEqual(['disallowedTools']);
    expect(optionsOf({ allowedTools: ['read_file', tool] })).toEqual(['allowedTools']);
  });

  it('are retries of its own, which only its settings file has', () => {
    expect(() => createGeminiProvider(builtInOptions({ maxRetries: 1 }))).toThrow('general.maxAttempts');
  });

  it('is full access as root outside a sandbox', () => {
    const root = createGeminiProvider(builtInOptions({ runningAsRoot: true }));
    const asked = root.unsupported({ ...request, permissionMode: 'fullAccess' });
    expect(asked).toMatchObject([{ option: 'permissionMode' }]);
    expect(root.capabilities.permissionModes).not.toContain('fullAccess');
  });
});
