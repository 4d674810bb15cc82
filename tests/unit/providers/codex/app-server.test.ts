import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { Decision } from '../../../../src/protocol/approval.ts';
import type { ResolvedPrompt } from '../../../../src/protocol/prompt.ts';
import { createCodexProvider } from '../../../../src/providers/codex/provider.ts';
import type { Ask, Control, ControlContext, ControlStep } from '../../../../src/providers/control.ts';
import { recordedLines, replay } from '../recorded.ts';
import { builtInOptions } from '../settings.ts';

const FOLDER = 'codex-app-server';
const codex = createCodexProvider({ ...builtInOptions(), transport: 'app-server' });
const replayed = (name: string) => replay(codex, name, {}, null, FOLDER);
const CUT = new Set(['command']);
const context = { nativeSessionId: null, trustedWorkspace: true, scratchDir: '/scratch' };

interface Message {
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly code: number };
}
const messagesIn = (text: string): Message[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Message); // our own lines

const controlOf = (request: Partial<ResolvedPrompt> = {}, more: Partial<ControlContext> = {}): Control =>
  codex.control?.(resolvedPrompt({ provider: 'codex', onPermissionDenied: 'ask', ...request }), {
    promptId: 'the-prompt-id',
    known: [],
    ...more,
  }) ?? expect.unreachable();

/** A control that has read a recorded run up to the ask. */
function asked(name: string, request: Partial<ResolvedPrompt> = {}, more: Partial<ControlContext> = {}) {
  const control = controlOf(request, more);
  const steps: ControlStep[] = [];
  const rest = [...recordedLines(FOLDER, name)];
  while (rest.length > 0 && !steps.some(({ asks }) => asks.length > 0)) {
    const line = rest.shift() ?? '';
    steps.push(control.line(line));
  }
  const ask = steps.at(-1)?.asks[0] ?? null;
  return { control, ask, steps, rest, written: steps.map(({ write }) => write).join('') };
}

const askOf = (name: string): { control: Control; ask: Ask; rest: string[] } => {
  const { control, ask, rest } = asked(name);
  return { control, ask: ask ?? expect.unreachable('nothing was asked'), rest };
};

/** The request of codex that asks whether a command may run. */
const commandRequest = (id: number, command: string, more: object = {}): string =>
  JSON.stringify({
    id,
    method: 'item/commandExecution/requestApproval',
    params: { threadId: 't', turnId: 'u', itemId: `call_${id}`, command, cwd: '/workspace', ...more },
  });

describe('a recorded turn of codex app-server', () => {
  it('that succeeds has its thread, its model, its text in pieces and its own tokens', () => {
    const { kinds, verdict, translator } = replayed('success');
    expect([...new Set(kinds)]).toEqual(['session', 'warning', 'text.delta', 'text', 'usage']);
    expect(verdict).toMatchObject({
      text: 'The parser is in src/parse.ts.',
      turns: 1,
      error: null,
      usage: { inputTokens: 16, outputTokens: 8, costUsd: null, costBasis: 'unknown' },
    });
    expect(verdict.nativeSessionId).toMatch(/^[0-9a-f-]{36}$/);
    expect(translator.done).toBe(true);
    expect(translator.progress.byModel).toEqual({ 'offline-model': verdict.usage });
  });

  it('shows reasoning, commands and their output, and counts the turn after a tool', () => {
    const { events, verdict } = replayed('tool-use');
    const shown = events.filter(({ kind }) => /^(reasoning|text|tool\.)/.test(kind) && kind !== 'text.delta');
    expect(shown).toMatchObject([
      { kind: 'reasoning', text: 'I should look.' },
      { kind: 'text', text: 'I will count them.' },
      { kind: 'tool.started', name: 'shell' },
      { kind: 'tool.ended', name: 'shell', isError: false, output: '3\n' },
      { kind: 'text', text: 'There are 3 files.' },
    ]);
    expect(verdict).toMatchObject({ text: 'There are 3 files.', turns: 2, error: null });
  });

  it('succeeds although a command of it failed, and names changed files', () => {
    expect(replayed('tool-failed').events).toContainEqual(
      expect.objectContaining({ kind: 'tool.ended', isError: true }),
    );
    expect(replayed('tool-failed').verdict.error).toBeNull();
    expect(replayed('file-change').events).toContainEqual(
      expect.objectContaining({ kind: 'tool.started', name: 'file_change' }),
    );
  });

  it('shows a declined command as one that failed', () => {
    expect(replayed('denied').events).toContainEqual(
      expect.objectContaining({ kind: 'tool.ended', name: 'shell', isError: true }),
    );
  });

  it('in a thread that went on has only what it used itself', () => {
    for (const name of ['resume', 'fork']) {
      const reports = recordedLines(FOLDER, name).filter((line) =>
        line.includes('"thread/tokenUsage/updated"'),
      );
      const { total, last } = JSON.parse(reports.at(-1) ?? '').params.tokenUsage;
      expect(total.inputTokens).toBeGreaterThan(last.inputTokens);
      expect(replayed(name).verdict.usage).toMatchObject({
        inputTokens: last.inputTokens,
        outputTokens: last.outputTokens,
      });
    }
  });

  it('keeps the text of a message that was interrupted', () => {
    const { verdict } = replayed('interrupted');
    expect(verdict.error).toMatchObject({ code: 'execution.interrupted' });
    expect(verdict.text).toMatch(/^word1 /);
  });

  it('reports how much of a limit is used, once, and a limit that refuses a turn with its end', () => {
    const limitsOf = (name: string) => replayed(name).events.filter(({ kind }) => kind === 'rate_limit');
    expect(limitsOf('plan-use')).toMatchObject([{ status: 'allowed', limit: 'primary', use: 0.85 }]);
    expect(limitsOf('plan-limit')).toMatchObject([{ status: 'allowed' }, { status: 'rejected', use: 1 }]);
    const { error } = replayed('plan-limit').verdict;
    expect(error).toMatchObject({ code: 'execution.quota', resetsAt: '2027-01-15T08:00:00.000Z' });
  });

  it.each([
    ['unknown-thread', 'execution.invalid_request', 'no rollout found'],
    ['wrong-key', 'auth.required', 'codex login'],
    ['rate-limit-429', 'execution.quota', '429'],
    ['plan-limit', 'execution.quota', 'usage limit'],
    ['server-500', 'execution.overloaded', 'high demand'],
    ['bad-request-400', 'execution.invalid_request', '400'],
    ['killed-while-asking', 'execution.crashed', 'SIGKILL'],
  ])('%s is %s', (name, code, said) => {
    const { verdict } = replayed(name);
    expect(verdict.error).toMatchObject({ code });
    expect(verdict.error?.message).toContain(said);
  });

  it('with a refused key is hopeless at its first retry', () => {
    const { translator, events } = replayed('wrong-key');
    expect(translator.hopeless).toMatchObject({ code: 'auth.required' });
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'api_retry', retry: 1, maxRetries: 1, status: 401 }),
    );
  });

  it('ends without success when codex ends before its turn does', () => {
    const translator = codex.translator(resolvedPrompt({ provider: 'codex' }));
    for (const line of recordedLines(FOLDER, 'success').slice(0, 6)) translator.line(line);
    expect(translator.end({ code: 0, signal: null }, '').error).toMatchObject({
      code: 'execution.bad_output',
    });
  });
});

describe('the command of app-server', () => {
  const request = resolvedPrompt({ provider: 'codex', prompt: 'Hello', model: 'gpt-5' });
  const openedBy = (changed: Partial<ResolvedPrompt>, more: object = {}) => {
    const command = codex.command({ ...request, ...changed }, { ...context, ...more });
    return { args: command.args, ...messagesIn(command.stdin)[0] };
  };

  it('opens the process with an initialize and has nothing of the prompt in its arguments', () => {
    const { args, opening = '', env } = codex.command(request, context);
    expect(args).toEqual([
      'app-server',
      '--config=default_permissions="bullpen"',
      '--config=permissions.bullpen.extends=":read-only"',
    ]);
    expect(messagesIn(opening).map(({ method }) => method)).toEqual(['initialize', 'initialized']);
    expect(env).toEqual({});
    expect(codex.warmStart?.isReady('{"id":"hello","result":{}}')).toBe(true);
    expect(codex.warmStart?.isReady('{"id":"thread","result":{}}')).toBe(false);
  });

  it('names the permissions of the job in every thread it opens, because a thread keeps its own', () => {
    const id = '01a1fc46-f347-7e33-ac89-85cec05b7b3e';
    expect(openedBy({})).toMatchObject({ method: 'thread/start', params: { permissions: 'bullpen' } });
    expect(openedBy({}, { nativeSessionId: id })).toMatchObject({
      method: 'thread/resume',
      params: { threadId: id, permissions: 'bullpen', approvalPolicy: 'never' },
    });
    expect(openedBy({}, { nativeSessionId: id, fork: true }).method).toBe('thread/fork');
    const full = openedBy({ permissionMode: 'fullAccess' });
    expect(full.params).toMatchObject({ sandbox: 'danger-full-access' });
    expect(full.args.join()).not.toContain('permissions');
  });

  it('lets codex ask only for a job that asks', () => {
    const { args, params } = openedBy({ onPermissionDenied: 'ask' });
    expect(params).toMatchObject({ approvalPolicy: 'on-request' });
    expect(args).toContain('--config=features.default_mode_request_user_input=true');
  });

  it('refuses a session id of another kind, arguments of modes, and what it cannot honour', () => {
    expect(() => openedBy({}, { nativeSessionId: '--last' })).toThrow('codex session id');
    const modes = { acceptEdits: ['--approve-for-me'] };
    expect(() => createCodexProvider({ ...builtInOptions({ modes }), transport: 'app-server' })).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
    const refused = (onPermissionDenied: 'ask' | 'fail') =>
      codex.unsupported({ ...request, onPermissionDenied }).map(({ option }) => option);
    expect([refused('ask'), refused('fail')]).toEqual([[], ['onPermissionDenied']]);
    const exec = createCodexProvider(builtInOptions());
    expect(exec.unsupported({ ...request, onPermissionDenied: 'ask' })).toHaveLength(1);
  });
});

describe('the control of app-server', () => {
  it('starts the turn with the whole prompt when the thread is open', () => {
    const outputSchema = { $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object' };
    const control = controlOf({
      prompt: 'Hello',
      appendSystemPrompt: 'Be brief.',
      effort: 'high',
      outputSchema,
    });
    const writes = recordedLines(FOLDER, 'success').flatMap((line) => messagesIn(control.line(line).write));
    expect(writes).toMatchObject([
      {
        method: 'turn/start',
        params: {
          clientUserMessageId: 'the-prompt-id',
          effort: 'high',
          outputSchema: { type: 'object' },
          input: [{ text: '<INSTRUCTIONS>\nBe brief.\n</INSTRUCTIONS>\n\nHello' }],
        },
      },
    ]);
  });

  it('goes no further with a thread that did not take the permissions of the job', () => {
    const control = controlOf();
    const [, opened = ''] = recordedLines(FOLDER, 'success');
    const step = control.line(opened.replace('"id":"bullpen"', '"id":"another"'));
    expect(step).toMatchObject({ write: '', problem: { code: 'execution.bad_output' } });
  });

  it('asks with the command as the model wrote it, the folder and the reason', () => {
    const { ask } = askOf('allowed');
    expect(ask).toMatchObject({
      kind: 'tool',
      tool: 'shell',
      input: { command: 'touch made.txt', cwd: '/workspace', reason: 'It writes a file.' },
      questions: null,
      approvalId: null,
    });
    expect(askOf('file-change').ask).toMatchObject({
      tool: 'file_change',
      input: { changes: [{ path: '/workspace/new.txt', diff: 'hi\n' }] },
    });
  });

  it('reads only a quoted line that a shell would read in the same way', () => {
    const control = controlOf();
    const shown = [
      `/bin/bash -lc 'a '"'"'b'"'"' c'`,
      '/bin/zsh -c "say \\"hi\\""',
      'bash -lc ls',
      '/bin/bash -lc "echo $(id)"',
      `/bin/bash -lc 'a' b`,
      `python -c 'x'`,
    ].map((command, id) => Object(control.line(commandRequest(id, command)).asks[0]?.input).command);
    expect(shown).toEqual([
      "a 'b' c",
      'say "hi"',
      'ls',
      '/bin/bash -lc "echo $(id)"',
      `/bin/bash -lc 'a' b`,
      `python -c 'x'`,
    ]);
  });

  it.each<[string, Decision, unknown]>([
    ['allow', { decision: 'allow', input: { command: 'touch made.txt' }, rules: [] }, { decision: 'accept' }],
    ['deny', { decision: 'deny', message: '' }, { decision: 'decline' }],
  ])('%s is written once', (_, decision, result) => {
    const { control, ask } = askOf('allowed');
    expect(messagesIn(control.decide(ask.callId, decision))).toEqual([{ id: 0, result }]);
    expect(control.decide(ask.callId, decision)).toBe('');
  });

  it('tells the model why, in the running turn', () => {
    const { control, ask } = askOf('denied');
    const [answer, told] = messagesIn(control.decide(ask.callId, { decision: 'deny', message: 'not today' }));
    expect(answer?.result).toEqual({ decision: 'decline' });
    expect(told).toMatchObject({
      method: 'turn/steer',
      params: { input: [{ text: expect.stringContaining('not today') }] },
    });
  });

  it('lets the model make the call again for an edited input, which then needs no further answer', () => {
    const { control, ask } = askOf('allowed');
    const decision = { decision: 'allow', input: { command: 'touch other.txt' }, rules: [] } as const;
    const [answer, told] = messagesIn(control.decide(ask.callId, decision));
    expect(answer?.result).toEqual({ decision: 'decline' });
    expect(JSON.stringify(told)).toContain('touch other.txt');
    const first = control.line(commandRequest(7, "/bin/bash -lc 'touch other.txt'", { reason: 'Because.' }));
    expect([first.asks, messagesIn(first.write)]).toEqual([[], [{ id: 7, result: { decision: 'accept' } }]]);
    expect(control.line(commandRequest(8, "/bin/bash -lc 'touch other.txt'")).asks).toHaveLength(1);
  });

  it('ends the turn for a call that waits, and knows it when the model makes it again', () => {
    const { control, ask, rest } = askOf('parked');
    const { write, waits } = control.park(ask.callId, 'approval-1');
    expect([messagesIn(write), waits]).toEqual([[{ id: 0, result: { decision: 'cancel' } }], 'granted']);
    expect(rest.flatMap((line) => control.line(line).withdrawn)).toEqual([]);

    const known = [{ approvalId: 'approval-1', callId: ask.callId, tool: ask.tool, input: ask.input }];
    const later = controlOf({}, { known });
    const again = (id: number, command: string) =>
      later.line(commandRequest(id, `/bin/bash -lc '${command}'`, { reason: 'Again.' })).asks[0]?.approvalId;
    expect(again(1, 'touch another.txt')).toBeNull();
    expect(again(2, 'touch made.txt')).toBe('approval-1');
    expect(again(3, 'touch made.txt')).toBeNull();
  });

  it('keeps the other open asks when one of them is parked, and withdraws them otherwise', () => {
    for (const isParked of [true, false]) {
      const { control, ask, rest } = askOf('parked');
      control.line(commandRequest(9, "/bin/bash -lc 'touch b'"));
      if (isParked) control.park(ask.callId, 'approval-1');
      const withdrawn = rest.flatMap((line) => control.line(line).withdrawn);
      expect(withdrawn).toEqual(isParked ? [] : [ask.callId, 'call_9']);
    }
  });

  it('withdraws an ask that codex has answered by itself', () => {
    const { control, ask } = askOf('allowed');
    const resolved = { method: 'serverRequest/resolved', params: { threadId: 't', requestId: 0 } };
    expect(control.line(JSON.stringify(resolved)).withdrawn).toEqual([ask.callId]);
  });

  it('tells apart two asks for the same item', () => {
    const control = controlOf();
    const [first, second] = [1, 1].map((id) => control.line(commandRequest(id, 'ls')).asks[0]);
    expect(first?.callId).not.toBe(second?.callId);
  });

  it.each([
    ['shell(git *)', "/bin/bash -lc 'git push origin'", true],
    ['shell(git *)', "/bin/bash -lc 'git log; rm -rf /'", false],
    ['shell(git *)', "/bin/bash -lc 'git log $(id)'", false],
    ['shell(git * main)', "/bin/bash -lc 'git push main'", true],
    ['shell(git * main)', "/bin/bash -lc 'git main'", false],
    ['shell(ls)', '/bin/bash -lc ls', true],
    ['shell(ls)', "/bin/bash -lc 'ls -l'", false],
    ['shell', "/bin/bash -lc 'a; b'", true],
    ['file_change', '/bin/bash -lc ls', false],
    ['shell(a*a)', '/bin/bash -lc a', false],
  ])('the rule %s and %s: %s', (rule, command, allows) => {
    const { write, asks } = controlOf({}, { sessionRules: [rule] }).line(commandRequest(1, command));
    expect([asks.length === 0, write !== '']).toEqual([allows, allows]);
  });

  it('applies a rule that a person gives to the calls that follow', () => {
    const { control, ask } = askOf('allowed');
    control.decide(ask.callId, { decision: 'allow', input: {}, rules: ['shell(touch *)'] });
    expect(control.line(commandRequest(5, "/bin/bash -lc 'touch x'")).asks).toEqual([]);
  });

  it('asks questions with their options and gives codex the answers by their ids', () => {
    const { control, ask } = askOf('question');
    expect(ask).toMatchObject({
      kind: 'question',
      questions: [
        { question: 'Which db?', header: 'DB', options: [{ label: 'SQLite' }, { label: 'Postgres' }] },
      ],
    });
    const input = { ...Object(ask.input), answers: { 'Which db?': 'SQLite' } };
    expect(messagesIn(control.decide(ask.callId, { decision: 'allow', input, rules: [] }))).toEqual([
      { id: 0, result: { answers: { db: { answers: ['SQLite'] } } } },
    ]);
  });

  it('ends the turn for a question that waits', () => {
    const { control, ask } = askOf('question');
    const [answer, stop] = messagesIn(control.park(ask.callId, 'approval-1').write);
    expect([answer?.result, stop?.method]).toEqual([{ answers: {} }, 'turn/interrupt']);
  });

  it('answers every request that no person can decide, also those it does not know', () => {
    const answerTo = (method: string, params: unknown, request: Partial<ResolvedPrompt> = {}) =>
      messagesIn(controlOf(request).line(JSON.stringify({ id: 4, method, params })).write)[0];
    const declined = { id: 4, result: { decision: 'decline' } };
    const never = { onPermissionDenied: 'report' } as const;
    const command = JSON.parse(commandRequest(4, 'ls'));
    expect(answerTo(command.method, command.params, never)).toEqual(declined);
    expect(answerTo('mcpServer/elicitation/request', { mode: 'url' })?.result).toMatchObject({
      action: 'decline',
    });
    expect(answerTo('item/tool/requestUserInput', null)?.result).toEqual({ answers: {} });
    expect(answerTo('from/tomorrow', {})?.error).toMatchObject({ code: -32601 });
  });

  it('refuses a call whose line was cut, and a change of files that it did not see whole', () => {
    const decline = { result: { decision: 'decline' } };
    const command = controlOf().line(commandRequest(1, 'ls'), CUT);
    expect([command.asks, ...messagesIn(command.write)]).toMatchObject([[], decline]);
    const control = controlOf();
    const steps = recordedLines(FOLDER, 'file-change').map((line) =>
      control.line(line, line.includes('"item/started"') ? CUT : null),
    );
    expect(steps.flatMap(({ asks }) => asks)).toEqual([]);
    expect(messagesIn(steps.map(({ write }) => write).join('')).at(-1)).toMatchObject(decline);
  });

  it('asks about forms without fields and about permissions, and answers in their own words', () => {
    const decided = (method: string, params: object, decision: Decision) => {
      const control = controlOf();
      const ask = control.line(JSON.stringify({ id: 4, method, params })).asks[0] ?? expect.unreachable();
      return messagesIn(control.decide(ask.callId, decision))[0]?.result;
    };
    const yes: Decision = { decision: 'allow', input: {}, rules: [] };
    const no: Decision = { decision: 'deny', message: '' };
    const form = {
      serverName: 'docs',
      message: 'Run it?',
      requestedSchema: { type: 'object', properties: {} },
    };
    expect(decided('mcpServer/elicitation/request', form, yes)).toMatchObject({
      action: 'accept',
      content: {},
    });
    expect(decided('mcpServer/elicitation/request', form, no)).toMatchObject({ action: 'decline' });
    const wanted = { itemId: 'i', permissions: { network: { enabled: true } } };
    expect(decided('item/permissions/requestApproval', wanted, yes)).toEqual({
      permissions: wanted.permissions,
      scope: 'turn',
    });
    expect(decided('item/permissions/requestApproval', wanted, no)).toEqual({
      permissions: {},
      scope: 'turn',
    });
  });

  it('interrupts and steers only a turn that runs', () => {
    const control = controlOf();
    const message = { id: 'm', text: 'Use tabs' };
    const possible = () => [control.interrupt() !== null, control.steer(message) !== null];
    const lines = recordedLines(FOLDER, 'steered');
    const start = lines.findIndex((line) => line.includes('"turn/started"'));
    expect(possible()).toEqual([false, false]);
    for (const line of lines.slice(0, start + 1)) control.line(line);
    expect(possible()).toEqual([true, true]);
    expect(messagesIn(control.interrupt() ?? '')).toMatchObject([{ method: 'turn/interrupt' }]);
    expect(messagesIn(control.steer(message) ?? '')).toMatchObject([
      { method: 'turn/steer', params: { clientUserMessageId: 'm', input: [{ text: 'Use tabs' }] } },
    ]);
    expect(control.line('{"id":"steer:m","result":{"turnId":"u"}}').taken).toEqual(['m']);
    expect(control.line('{"id":"steer:n","error":{"message":"no active turn to steer"}}').taken).toEqual([]);
    for (const line of lines.slice(start + 1)) control.line(line);
    expect(possible()).toEqual([false, false]);
  });
});
