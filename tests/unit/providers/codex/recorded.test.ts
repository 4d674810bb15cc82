import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { PermissionMode } from '../../../../src/protocol/prompt.ts';
import { createCodexProvider } from '../../../../src/providers/codex/provider.ts';
import { replay } from '../recorded.ts';
import { builtInOptions } from '../settings.ts';

const codex = createCodexProvider(builtInOptions());

describe('a recorded run of codex', () => {
  it('that succeeds has its text, its thread and its own tokens, of unknown cost', () => {
    const { kinds, verdict, translator } = replay(codex, 'success', { model: 'gpt-5-codex' });
    expect(kinds).toEqual(['session', 'warning', 'text', 'usage']);
    expect(verdict).toMatchObject({
      text: 'The parser is in src/parse.ts.',
      turns: 1,
      error: null,
      usage: {
        inputTokens: 16,
        outputTokens: 8,
        cacheReadTokens: 0,
        cacheWriteTokens: 0,
        costUsd: null,
        costBasis: 'unknown',
      },
    });
    expect(verdict.nativeSessionId).toMatch(/^[0-9a-f-]{36}$/);
    expect(translator.done).toBe(true);
    expect(translator.progress.byModel).toEqual({ 'gpt-5-codex': verdict.usage });
  });

  it('has its answer when its last line reports the usage in another form', () => {
    for (const usage of [null, { input_tokens: '16', output_tokens: -1 }]) {
      const translator = codex.translator(resolvedPrompt({ provider: 'codex' }));
      const item = { id: 'a', type: 'agent_message', text: 'Yes.' };
      for (const line of [
        { type: 'item.completed', item },
        { type: 'turn.completed', usage },
      ])
        translator.line(JSON.stringify(line));
      const verdict = translator.end({ code: 0, signal: null }, '');
      expect(verdict).toMatchObject({ text: 'Yes.', usage: null, error: null });
    }
  });

  it('names no model when none is chosen', () => {
    expect(replay(codex, 'success').translator.progress.byModel).toEqual({});
  });

  it('shows reasoning, commands and their output, and counts the turn after a tool', () => {
    const { events, verdict } = replay(codex, 'tool-use');
    expect(events.slice(2, -1)).toMatchObject([
      { kind: 'reasoning', text: 'I should look.' },
      { kind: 'text', text: 'I will count them.' },
      { kind: 'tool.started', name: 'shell' },
      { kind: 'tool.ended', name: 'shell', isError: false, output: '3\n' },
      { kind: 'text', text: 'There are 3 files.' },
    ]);
    expect(verdict).toMatchObject({ text: 'There are 3 files.', turns: 2, error: null });
  });

  it('succeeds although a command of it failed', () => {
    const { events, verdict } = replay(codex, 'tool-failed');
    expect(events).toContainEqual(expect.objectContaining({ kind: 'tool.ended', isError: true }));
    expect(verdict.error).toBeNull();
  });

  it('that resumed a thread has only what it used itself', () => {
    const whole = replay(codex, 'resume').verdict.usage ?? expect.unreachable();
    const before = { inputTokens: 10, outputTokens: 3, cacheReadTokens: 0, cacheWriteTokens: 0 };
    const own = replay(codex, 'resume', { sessionId: '01K' }, before).verdict.usage;
    expect(own).toMatchObject({
      inputTokens: whole.inputTokens - 10,
      outputTokens: whole.outputTokens - 3,
    });
  });

  it.each([
    ['unknown-session', 'execution.invalid_request', 'no rollout found'],
    ['wrong-key', 'auth.required', 'codex login'],
    ['rate-limit-429', 'execution.quota', '429'],
    ['plan-limit', 'execution.quota', 'usage limit'],
    ['server-500', 'execution.overloaded', 'high demand'],
    ['bad-request-400', 'execution.invalid_request', '400'],
    ['bad-argument', 'execution.invalid_request', '--no-such-flag'],
    ['sigterm-hang', 'execution.crashed', 'SIGTERM'],
    ['sigkill-tool', 'execution.crashed', 'SIGKILL'],
  ])('%s is %s', (name, code, said) => {
    const { verdict } = replay(codex, name);
    expect(verdict.error).toMatchObject({ code });
    expect(verdict.error?.message).toContain(said);
  });

  it('with a refused key is hopeless at its first retry', () => {
    const { translator, events } = replay(codex, 'wrong-key');
    expect(translator.hopeless).toMatchObject({ code: 'auth.required' });
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'api_retry', retry: 1, maxRetries: 1, status: 401 }),
    );
  });
});

const profile = (sandbox: string): readonly string[] => [
  '--config=default_permissions="bullpen"',
  `--config=permissions.bullpen.extends=":${sandbox}"`,
];

describe('the codex command', () => {
  const context = { nativeSessionId: null, trustedWorkspace: true, scratchDir: '/scratch' };
  const request = resolvedPrompt({ provider: 'codex', prompt: 'Hello' });

  it('has the prompt on stdin and never in an argument', () => {
    expect(codex.command(request, context)).toEqual({
      args: ['exec', '--json', '--skip-git-repo-check', ...profile('read-only'), '-'],
      stdin: 'Hello',
      env: {},
    });
  });

  it.each([
    ['plan', profile('read-only')],
    ['acceptEdits', profile('workspace')],
    ['fullAccess', ['--dangerously-bypass-approvals-and-sandbox']],
  ] as const)('%s is %s', (permissionMode, mode) => {
    const { args } = codex.command({ ...request, permissionMode }, context);
    expect(args.slice(3)).toEqual([...mode, '-']);
  });

  it('hides private paths in each mode that has a sandbox, by their real path', () => {
    const privatePaths = [
      { real: '/absent', written: [], exists: false },
      { real: '/home/a "b"/token', written: ['/link/token', '~/token'], exists: true },
    ];
    const denied = String.raw`--config=permissions.bullpen.filesystem={"/home/a \"b\"/token"="deny"}`;
    const argsIn = (permissionMode: PermissionMode) =>
      codex.command({ ...request, permissionMode }, { ...context, privatePaths }).args.slice(3, -1);
    expect(argsIn('default')).toEqual([...profile('read-only'), denied]);
    expect(argsIn('plan')).toEqual([...profile('read-only'), denied]);
    expect(argsIn('acceptEdits')).toEqual([...profile('workspace'), denied]);
    expect(argsIn('fullAccess')).toEqual(['--dangerously-bypass-approvals-and-sandbox']);
  });

  it("takes the settings' arguments for a mode instead of its own", () => {
    const own = createCodexProvider(builtInOptions({ modes: { acceptEdits: ['--approve-for-me'] } }));
    const { args } = own.command({ ...request, permissionMode: 'acceptEdits' }, context);
    expect(args).toContain('--approve-for-me');
    expect(args).not.toContain('--config=default_permissions="bullpen"');
  });

  it('puts every option before the thread it resumes', () => {
    const nativeSessionId = '01a1fc46-f347-7e33-ac89-85cec05b7b3e';
    const { args, stdin, files } = codex.command(
      {
        ...request,
        model: 'gpt-5',
        effort: 'high',
        appendSystemPrompt: 'Be "brief".\n',
        outputSchema: { type: 'object' },
      },
      { ...context, nativeSessionId },
    );
    expect(args.slice(5)).toEqual([
      '--model=gpt-5',
      '--config=model_reasoning_effort="high"',
      '--output-schema=/scratch/output-schema.json',
      'resume',
      nativeSessionId,
      '-',
    ]);
    expect(stdin).toBe(`<INSTRUCTIONS>\nBe "brief".\n\n</INSTRUCTIONS>\n\n${request.prompt}`);
    expect(files).toEqual({ 'output-schema.json': '{"type":"object"}' });
  });

  it('takes back the trust a workspace and what is above it may have, unless its root is trusted', () => {
    const { args } = codex.command(
      { ...request, cwd: '/work/my "own"' },
      { ...context, trustedWorkspace: false },
    );
    expect(args).toContain(
      '--config=projects={"/work"={trust_level="untrusted"},"/work/my \\"own\\""={trust_level="untrusted"}}',
    );
  });

  it('cannot lower the retries of the CLI', () => {
    expect(() => createCodexProvider(builtInOptions({ maxRetries: 1 }))).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
  });

  it('refuses a session id that could be read as something else', () => {
    expect(() => codex.command(request, { ...context, nativeSessionId: '--last' })).toThrow(
      'codex session id',
    );
  });

  it('says what it cannot honour', () => {
    const asked = {
      ...request,
      allowedTools: ['Bash'],
      onPermissionDenied: 'fail' as const,
      maxCostUsd: 1,
      providerOptions: { x: 1 },
    };
    expect(codex.unsupported(asked).map(({ option }) => option)).toEqual([
      'allowedTools',
      'onPermissionDenied',
      'maxCostUsd',
      'providerOptions.x',
    ]);
    const root = createCodexProvider(builtInOptions({ runningAsRoot: true }));
    expect(root.unsupported({ ...request, permissionMode: 'fullAccess' })).toMatchObject([
      { option: 'permissionMode' },
    ]);
  });
});
