import { describe, expect, it } from 'vitest';
import { apiErrorResult, assistant, fold, init, result, retry, stream, toolResult } from './claude-lines.ts';

const text = (value: string) => ({ type: 'text', text: value });

describe('a retry of the CLI', () => {
  it('carries everything that is known', () => {
    expect(fold([retry(429, 3)]).events).toEqual([
      { kind: 'api_retry', retry: 3, maxRetries: 10, delayMs: 500, status: 429, reason: 'rate_limit' },
    ]);
  });

  it.each([429, 500, 529])('for %i is worth waiting for', (status) => {
    expect(fold([init(), retry(status, 9)]).translator.hopeless).toBeNull();
  });

  it.each([401, 403])('for %i is hopeless with a key of the environment', (status) => {
    expect(fold([init(), retry(status)]).translator.hopeless).toMatchObject({ code: 'auth.required' });
  });

  it('gives a login one chance to renew its token', () => {
    const login = init({ apiKeySource: 'none' });
    expect(fold([login, retry(401, 1)]).translator.hopeless).toBeNull();
    expect(fold([login, retry(401, 2)]).translator.hopeless).toMatchObject({
      code: 'auth.required',
      message: expect.stringContaining('/login'),
    });
  });

  it('that was hopeless names the reason also when the process was then killed', () => {
    const { error } = fold([init(), retry(401)]).end({ code: null, signal: 'SIGTERM' });
    expect(error?.code).toBe('auth.required');
  });
});

const tasks = (list: unknown[]) => ({ type: 'system', subtype: 'background_tasks_changed', tasks: list });

describe('the last word', () => {
  it('is the result', () => {
    expect(fold([init(), assistant([text('Hi')])]).translator.done).toBe(false);
    expect(fold([init(), result()]).translator.done).toBe(true);
    expect(fold([init(), apiErrorResult(400, 'no')]).translator.done).toBe(true);
  });

  it('is the text of the answer, also when the CLI continues', () => {
    for (const more of [init(), stream({ type: 'message_start' }), tasks([{}])]) {
      expect(fold([result(), more]).translator.done).toBe(true);
    }
  });
});

describe('what goes on behind the answer', () => {
  const call = assistant([
    { type: 'tool_use', id: 't1', name: 'Bash', input: { command: 'npm run dev', run_in_background: true } },
  ]);
  const started = { type: 'system', subtype: 'task_started', task_id: 'b1', tool_use_id: 't1' };
  const server = tasks([{ task_id: 'b1', description: 'Start the server' }]);

  it('is named', () => {
    expect(fold([call, server, started, result()]).translator.background).toEqual([
      'Start the server (npm run dev)',
    ]);
    expect(fold([server, result()]).translator.background).toEqual(['Start the server']);
    expect(fold([tasks([{}, 7]), result()]).translator.background).toEqual(['a task', 'a task']);
    expect(fold([result(), init()]).translator.background).toEqual(['a turn of its own']);
    expect(fold([server, tasks([]), result()]).translator.background).toEqual([]);
  });
});

describe('a job that waits for it', () => {
  const wait = { background: 'wait' } as const;
  const answer = (text: string, fields = {}) => result({ result: text, ...fields });
  const notice = { origin: { kind: 'task-notification' } };
  const wakeUp = [
    assistant([{ type: 'tool_use', id: 'w1', name: 'ScheduleWakeup', input: { delaySeconds: 60 } }]),
    toolResult('w1', 'Next wakeup scheduled', { tool_use_result: { scheduledFor: 1_800_000_000_000 } }),
  ];
  const woken = {
    type: 'command_lifecycle',
    command_uuid: 'w',
    state: 'started',
    wakeup_source: 'loop_wakeup',
  };

  it('is done when no task runs, no wake-up is due and no turn is open', () => {
    const done = (lines: Parameters<typeof fold>[0]) => fold(lines, wait).translator.done;
    expect(done([result()])).toBe(true);
    expect(done([tasks([{}]), result()])).toBe(false);
    expect(done([tasks([{}]), result(), tasks([])])).toBe(true);
    expect(done([tasks([{}]), result(), tasks([]), init()])).toBe(false);
    expect(done([result({ queued_turn_count: 1 })])).toBe(false);
    expect(done([...wakeUp, result()])).toBe(false);
    expect(done([...wakeUp, result(), woken, init()])).toBe(false);
    expect(done([...wakeUp, result(), woken, init(), answer('Awake.')])).toBe(true);
    expect(fold([...wakeUp, result()], wait).translator.background).toEqual([
      'a wake-up at 2027-01-15T08:00:00.000Z',
    ]);
  });

  it('is busy while it waits, and not while the model is to answer', () => {
    expect(fold([tasks([{}]), result()], wait).translator.busy).toBe(true);
    expect(fold([...wakeUp, result()], wait).translator.busy).toBe(true);
    expect(fold([...wakeUp, result(), woken, init()], wait).translator.busy).toBe(false);
    expect(fold([tasks([{}]), init()], wait).translator.busy).toBe(false);
    expect(fold([tasks([{}]), result()]).translator.busy).toBe(false);
  });

  it('has the last answer, and the failure of the last turn that asked the model', () => {
    const end = (...lines: Parameters<typeof fold>[0]) => fold(lines, wait).end();
    const silent = answer('', { ...notice, num_turns: 0 });
    expect(end(answer('Started.'), answer('It is fine.', notice), answer(' ', notice), silent)).toMatchObject(
      {
        text: 'It is fine.',
        error: null,
      },
    );
    expect(end(silent, answer('Started.'), apiErrorResult(529, 'overloaded', notice), silent)).toMatchObject({
      text: 'Started.',
      error: { code: 'execution.overloaded' },
    });
    expect(end(apiErrorResult(529, 'overloaded'), answer('It is fine.', notice))).toMatchObject({
      text: 'It is fine.',
      error: null,
    });
  });
});

describe('a tool that runs', () => {
  const inside = { parent_tool_use_id: 'agent' };
  const calls = (id: string, message: string, fields = {}) =>
    assistant([], {
      message: { id: message, content: [{ type: 'tool_use', id, name: 'Bash', input: {} }] },
      ...fields,
    });
  const says = (message: string, fields = {}) =>
    assistant([], { message: { id: message, content: [text('Hm.')] }, ...fields });
  const busy = (...lines: Parameters<typeof fold>[0]) => fold(lines).translator.busy;

  it('keeps the CLI busy until its result', () => {
    expect(busy(calls('a', 'm1'))).toBe(true);
    expect(busy(calls('a', 'm1'), toolResult('a', 'x'))).toBe(false);
    expect(busy(calls('a', 'm1'), calls('b', 'm1'), toolResult('b', 'x'))).toBe(true);
  });

  it.each<[string, Parameters<typeof fold>[0]]>([
    ['a later message', [says('m2')]],
    ['a later message as it begins', [stream({ type: 'message_start', message: { id: 'm2' } })]],
    ['the end of the turn', [result()]],
  ])('whose result never comes is over with %s of its agent', (_what, later) => {
    expect(busy(calls('a', 'm1'), ...later)).toBe(false);
  });

  it("does not end when a subagent speaks, nor a subagent's when the main agent speaks", () => {
    expect(busy(calls('agent', 'm1'), says('s1', inside), says('s2', inside))).toBe(true);
    expect(busy(calls('agent', 'm1'), calls('b', 's1', inside), says('s2', inside))).toBe(true);
    expect(
      busy(calls('agent', 'm1'), toolResult('agent', 'started'), calls('b', 's1', inside), says('m2')),
    ).toBe(true);
  });

  it('is over with the agent that called it', () => {
    expect(busy(calls('agent', 'm1'), calls('b', 's1', inside), says('m2'))).toBe(false);
    const ended = { type: 'system', subtype: 'task_notification', tool_use_id: 'agent', status: 'stopped' };
    expect(busy(calls('agent', 'm1'), toolResult('agent', 'x'), calls('b', 's1', inside), ended)).toBe(false);
  });
});

describe('a success that is none', () => {
  const endOf = (reason: string, fields = {}) =>
    fold([init(), result({ terminal_reason: reason, ...fields })]).end();

  it.each([
    ['tool_deferred', 'execution.permission_denied'],
    ['hook_stopped', 'execution.invalid_request'],
    ['aborted_streaming', 'execution.crashed'],
    ['aborted_tools', 'execution.crashed'],
    ['blocking_limit', 'execution.invalid_request'],
    ['max_turns', 'execution.max_turns'],
    ['budget_exhausted', 'execution.budget'],
    ['malformed_tool_use_exhausted', 'execution.bad_output'],
  ])('by its reason %s fails as %s', (reason, code) => {
    expect(endOf(reason).error).toMatchObject({ code, message: expect.stringContaining(reason) });
  });

  it('is a success with an unknown reason, if there is an answer', () => {
    expect(endOf('of_tomorrow').error).toBeNull();
    expect(endOf('toString').error).toBeNull();
    expect(endOf('of_tomorrow', { result: '' }).error?.code).toBe('execution.bad_output');
    expect(endOf('stop_hook_prevented').error).toBeNull();
  });

  it('is not one because the CLI answered without a model', () => {
    expect(endOf('completed', { num_turns: 0, result: 'By itself.' })).toMatchObject({
      text: 'By itself.',
      error: null,
    });
    expect(endOf('completed', { result: 'Operation stopped by hook: said the model' }).error).toBeNull();
  });

  it('by its error in the subtype alone fails', () => {
    expect(endOf('completed', { subtype: 'error_during_execution' }).error?.code).toBe('execution.crashed');
  });
});

describe('a limit that turned the run away', () => {
  const limit = (status: string, resetsAt: number) => ({
    type: 'rate_limit_event',
    rate_limit_info: { status, resetsAt, rateLimitType: 'five_hour' },
  });
  const endOf = (lines: Parameters<typeof fold>[0]) => fold(lines).end({ code: 1, signal: null }).error;

  it('says in the error when it is lifted', () => {
    const error = endOf([init(), limit('rejected', 1_800_000_000), apiErrorResult(429, 'limit reached')]);
    expect(error).toMatchObject({ code: 'execution.quota', resetsAt: '2027-01-15T08:00:00.000Z' });
  });

  it.each([
    [1_800_000_000_000, '2027-01-15T08:00:00.000Z'],
    [-1, null],
    [1e300, null],
  ])('reads the time %d as %s', (resetsAt, at) => {
    const lines = [init(), limit('rejected', resetsAt), apiErrorResult(429, 'limit reached')];
    expect(endOf(lines)?.resetsAt).toBe(at);
  });

  it('is one of the plan by the name of the error alone', () => {
    const line = apiErrorResult(429, 'no words count', { api_error: 'usage_limit_reached' });
    expect(endOf([init(), line])).toMatchObject({ code: 'execution.quota', resetsAt: null });
  });

  it('says nothing of the kind for a warning, or for another error', () => {
    expect(
      endOf([init(), limit('allowed_warning', 1_800_000_000), apiErrorResult(429, 'no')])?.resetsAt,
    ).toBeNull();
    expect(endOf([init(), limit('rejected', 1_800_000_000), apiErrorResult(529, 'no')])?.resetsAt).toBeNull();
  });
});
