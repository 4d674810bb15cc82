import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { ResolvedPrompt } from '../../../../src/protocol/prompt.ts';
import { createClaudeProvider } from '../../../../src/providers/claude/provider.ts';
import type { Command, CommandContext } from '../../../../src/providers/provider.ts';
import { builtInOptions } from '../settings.ts';

const SESSION = '0b0c9f5e-8f4e-4f57-9d5b-6a5d2f6f9a10';
const provider = createClaudeProvider(builtInOptions());

const command = (changed: Partial<ResolvedPrompt> = {}, context: Partial<CommandContext> = {}): Command =>
  provider.command(resolvedPrompt(changed), {
    nativeSessionId: null,
    trustedWorkspace: false,
    scratchDir: '/scratch',
    ...context,
  });

/** The prompt in the one line of stdin. */
function said(stdin: string): string {
  expect(stdin.endsWith('\n')).toBe(true);
  return (JSON.parse(stdin) as { message: { content: string } }).message.content; // the line above is one
}

const BASE = [
  '-p',
  '--input-format=stream-json',
  '--output-format=stream-json',
  '--verbose',
  '--include-partial-messages',
];
/** Tools for a process that stays after its answer. */
const NOT_LATER = ['ScheduleWakeup', 'CronCreate', 'CronDelete', 'CronList'].map(
  (tool) => `--disallowed-tools=${tool}`,
);
const UNTRUSTED = ['--setting-sources=user', '--strict-mcp-config'];
const START = [...BASE, '--disable-slash-commands', ...NOT_LATER, ...UNTRUSTED];
const PLAIN = [...START, '--permission-mode=default'];

describe('the claude command line', () => {
  it('of a plain prompt names no option but the safe ones', () => {
    expect(command()).toEqual({
      args: PLAIN,
      opening: '{"type":"control_request","request_id":"hello","request":{"subtype":"initialize"}}\n',
      stdin: '{"type":"user","message":{"role":"user","content":"Where is the parser?"}}\n',
      env: {},
    });
  });

  it('denies its tools the private paths, whatever signs are in them', () => {
    const privatePaths = [
      { real: '/data/token', written: [], exists: true },
      { real: '/a [b]*/c(d), !e', written: ['/link/e', '~/e', 'e'], exists: true },
    ];
    const { args } = command({ permissionMode: 'fullAccess' }, { privatePaths });
    const odd = String.raw`//a\ \[b\]\*/c\(d\)\,\ \!e`;
    const rules = ['//data/token', odd, '//link/e'].flatMap((path) => [`Read(${path})`, `Edit(${path})`]);
    const denied = rules.map((rule) => `--disallowedTools=${rule}`);
    expect(args).toEqual([...START, '--dangerously-skip-permissions', ...denied]);
  });

  const perOption: [Partial<ResolvedPrompt>, string[]][] = [
    [{ model: 'opus' }, [...PLAIN, '--model=opus']],
    [{ effort: 'high' }, [...PLAIN, '--effort=high']],
    [{ permissionMode: 'plan' }, [...START, '--permission-mode=plan']],
    [{ permissionMode: 'acceptEdits' }, [...START, '--permission-mode=acceptEdits']],
    [{ permissionMode: 'fullAccess' }, [...START, '--dangerously-skip-permissions']],
    [
      { allowedTools: ['Read', 'Bash(git log *)'] },
      [...PLAIN, '--allowedTools=Read', '--allowedTools=Bash(git log *)'],
    ],
    [{ disallowedTools: ['Bash', 'Write'] }, [...PLAIN, '--disallowedTools=Bash', '--disallowedTools=Write']],
    [{ maxTurns: 7 }, [...PLAIN, '--max-turns=7']],
    [{ maxCostUsd: 0.0000005 }, [...PLAIN, '--max-budget-usd=0.0000005']],
    [{ maxCostUsd: 1234.5 }, [...PLAIN, '--max-budget-usd=1234.5']],
    [{ providerOptions: { fallbackModel: 'sonnet,haiku' } }, [...PLAIN, '--fallback-model=sonnet,haiku']],
  ];
  for (const [changed, args] of perOption) {
    it(`maps ${JSON.stringify(changed)}`, () => expect(command(changed).args).toEqual(args));
  }

  it('names its message', () => {
    const promptId = '00000000-0000-4000-8000-000000000001';
    expect(JSON.parse(command({}, { promptId }).stdin)).toMatchObject({ uuid: promptId });
  });

  it("opens with the vendor's handshake, which holds the caller's texts", () => {
    const openingOf = (changed: Partial<ResolvedPrompt>) =>
      JSON.parse(command(changed).opening ?? '').request;
    expect(openingOf({})).toEqual({ subtype: 'initialize' });
    const jsonSchema = { type: 'object' };
    expect(openingOf({ appendSystemPrompt: 'Be\nbrief.', outputSchema: jsonSchema })).toEqual({
      subtype: 'initialize',
      appendSystemPrompt: 'Be\nbrief.',
      jsonSchema,
    });
  });

  it('resumes a session', () => {
    expect(command({}, { nativeSessionId: SESSION }).args).toEqual([...PLAIN, `--resume=${SESSION}`]);
  });

  it('renders the system prompt again when a resumed session appends to it', () => {
    expect(command({ appendSystemPrompt: 'Be brief.' }, { nativeSessionId: SESSION }).args).toEqual([
      ...PLAIN,
      '--system-prompt-snapshot=off',
      `--resume=${SESSION}`,
    ]);
  });

  it.each(['', 'latest', '--dangerously-skip-permissions', `${SESSION}\n--model=x`])(
    'refuses %j as a session id',
    (nativeSessionId) => {
      expect(() => command({}, { nativeSessionId })).toThrow(
        expect.objectContaining({ code: 'execution.invalid_request' }),
      );
    },
  );

  it('asks by the control protocol, and sees each call, in a job that asks', () => {
    const asks = command({ onPermissionDenied: 'ask' });
    expect(asks.args).toEqual([...BASE, '--permission-prompt-tool=stdio', ...PLAIN.slice(BASE.length)]);
    expect(JSON.parse(asks.opening ?? '').request.hooks).toEqual({
      PreToolUse: [{ matcher: '*', hookCallbackIds: ['call'], timeout: 604_800 }],
    });
  });

  it('lets no call run that waits in the session although its approval is over', () => {
    const deadCalls = [
      { callId: 'toolu_1', tool: 'Bash' },
      { callId: 'toolu_2', tool: 'Write' },
    ];
    const { args, opening } = command({}, { deadCalls });
    expect(JSON.parse(opening ?? '').request.hooks).toBeDefined();
    const settings = args.find((arg) => arg.startsWith('--settings=')) ?? '';
    const [{ hooks }] = JSON.parse(settings.slice('--settings='.length)).hooks.PreToolUse;
    expect(hooks[0].command).toContain('*toolu_1*|*toolu_2*) printf %s');
    expect(hooks[0].command).toContain('"permissionDecision":"deny"');
  });

  it("denies the whole tool of such a call where the settings are the operator's, or its id is odd", () => {
    const withSettings = createClaudeProvider(builtInOptions({ args: ['--settings=/etc/x.json'] }));
    const denied = (callId: string, by = provider) =>
      by.command(resolvedPrompt(), {
        ...{ nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' },
        deadCalls: [{ callId, tool: 'Bash' }],
      }).args;
    expect(denied('toolu_1', withSettings)).toContain('--disallowedTools=Bash');
    expect(denied("'; reboot")).toContain('--disallowedTools=Bash');
  });

  it('goes on with a call that waits without any message', () => {
    const { args, stdin } = command({}, { nativeSessionId: SESSION, resumesCall: true });
    expect([args, stdin]).toEqual([[...PLAIN, `--resume=${SESSION}`], '']);
  });

  it('goes on with a copy of a session', () => {
    const { args } = command({}, { nativeSessionId: SESSION, fork: true });
    expect(args).toEqual([...PLAIN, `--resume=${SESSION}`, '--fork-session']);
    expect(command({}, { fork: true }).args).toEqual(PLAIN);
  });

  it("allows what the session's rules allow", () => {
    const { args } = command({ allowedTools: ['Read'] }, { sessionRules: ['Bash(git *)'] });
    expect(args).toEqual([...PLAIN, '--allowedTools=Read', '--allowedTools=Bash(git *)']);
  });

  it('leaves the settings of a trusted workspace alone', () => {
    expect(command({}, { trustedWorkspace: true }).args).toEqual([
      ...BASE,
      '--disable-slash-commands',
      ...NOT_LATER,
      '--permission-mode=default',
    ]);
  });

  it('offers tools for later only to a job that waits for them', () => {
    expect(command({ background: 'stop' }).args).toEqual(PLAIN);
    expect(command({ background: 'wait' }).args).toEqual(PLAIN.filter((arg) => !NOT_LATER.includes(arg)));
  });

  it('gives the message with the prompt its id', () => {
    const promptId = 'a7c9f9f4-0d0e-4b0e-9a5e-0a4b1c2d3e4f';
    expect(JSON.parse(command({}, { promptId }).stdin)).toMatchObject({ type: 'user', uuid: promptId });
  });

  it("puts the settings' arguments before the job's, so that the job's count", () => {
    const own = createClaudeProvider(
      builtInOptions({ args: ['--model=haiku', '--mcp-config=/etc/mcp.json'], maxRetries: 2 }),
    );
    const context = { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' };
    expect(own.command(resolvedPrompt({ model: 'opus' }), context)).toMatchObject({
      args: [
        ...START,
        '--model=haiku',
        '--mcp-config=/etc/mcp.json',
        '--permission-mode=default',
        '--model=opus',
      ],
      env: { CLAUDE_CODE_MAX_RETRIES: '2' },
    });
  });
});

describe('the prompt', () => {
  const hostile = [
    '--dangerously-skip-permissions',
    '-p',
    '--',
    '@/etc/passwd',
    '$(id)',
    '`id`',
    '; rm -rf ~',
    'hello\n--model x',
    '/cost',
    ' ',
  ];
  for (const prompt of hostile) {
    it(`${JSON.stringify(prompt)} reaches the CLI by stdin alone`, () => {
      const { args, stdin } = command({ prompt });
      expect(args).toEqual(PLAIN);
      expect(said(stdin).trimStart()).toBe(prompt.trimStart());
    });
  }

  it('that begins with a slash is not a command', () => {
    expect(said(command({ prompt: '/cost' }).stdin)).toBe('\n/cost');
  });

  it('with an @ does not read files', () => {
    expect(command({ prompt: 'see @/etc/passwd' }).env).toEqual({ CLAUDE_CODE_DISABLE_ATTACHMENTS: '1' });
  });
});

describe('values that look like flags', () => {
  it('stay joined to their own flag', () => {
    const { args } = command({
      model: '--dangerously-skip-permissions',
      allowedTools: ['--model', 'Bash(*)'],
    });
    expect(args.slice(PLAIN.length)).toEqual([
      '--model=--dangerously-skip-permissions',
      '--allowedTools=--model',
      '--allowedTools=Bash(*)',
    ]);
  });
});
