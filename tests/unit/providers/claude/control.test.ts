/** What the recorded runs and the contract with the real claude do not show. */
import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { ResolvedPrompt } from '../../../../src/protocol/prompt.ts';
import { createClaudeControl, PARKED } from '../../../../src/providers/claude/control.ts';
import type { ControlContext } from '../../../../src/providers/control.ts';
import { assistant, fold, init, result, toolResult } from './claude-lines.ts';

const text = (value: unknown): string => JSON.stringify(value);
const asked = (id: string, request: object) => text({ type: 'control_request', request_id: id, request });
const hook = (id: string, callId: string, input: unknown = { command: 'ls' }, more = {}) =>
  asked(id, {
    subtype: 'hook_callback',
    callback_id: 'call',
    input: {
      hook_event_name: 'PreToolUse',
      tool_name: 'Bash',
      tool_input: input,
      tool_use_id: callId,
      ...more,
    },
  });
const permission = (id: string, callId: string, input: unknown = { command: 'ls' }, more = {}) =>
  asked(id, { subtype: 'can_use_tool', tool_name: 'Bash', input, tool_use_id: callId, ...more });

/** The answers in what is written. */
const answers = (written: string) =>
  written
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line).response);
const success = (id: string, response: unknown) => ({ subtype: 'success', request_id: id, response });
const decides = (decision: string, more = {}) => ({
  hookSpecificOutput: { hookEventName: 'PreToolUse', permissionDecision: decision, ...more },
});
const denies = (message: unknown) => ({ behavior: 'deny', message });

const control = (request: Partial<ResolvedPrompt> = {}, context: Partial<ControlContext> = {}) =>
  createClaudeControl(resolvedPrompt({ onPermissionDenied: 'ask', ...request }), {
    promptId: 'p',
    known: [],
    ...context,
  });
const known = { approvalId: 'A', callId: 'old', tool: 'Bash', input: { command: 'ls', timeout: 5 } };

describe('the control of claude', () => {
  it('lets a call pass that it does not know', () => {
    const step = control().line(hook('r', 'c'));
    expect([answers(step.write), step.asks]).toEqual([[success('r', {})], []]);
  });

  it('gives the rules of the session after the call that waited: they do not decide about it', () => {
    const one = control({}, { known: [known], resumesCall: true, sessionRules: ['Bash(ls *)'] });
    one.line(permission('r', 'old', known.input));
    const written = one.decide('old', { decision: 'allow', input: known.input, rules: [] });
    expect(answers(written)[0].response).toMatchObject({
      behavior: 'allow',
      updatedPermissions: [{ type: 'addRules', rules: [{ toolName: 'Bash', ruleContent: 'ls *' }] }],
    });
    one.line(permission('s', 'new'));
    const next = one.decide('new', { decision: 'allow', input: {}, rules: [] });
    expect(answers(next)[0].response).not.toHaveProperty('updatedPermissions');
  });

  it('answers requests that it does not know', () => {
    const one = control();
    for (const request of [{ subtype: 'elicitation' }, { subtype: 7 }, {}]) {
      expect(answers(one.line(asked('r', request)).write)).toMatchObject([
        { subtype: 'error', request_id: 'r' },
      ]);
    }
    const line = text({ type: 'control_request', request_id: 'r' });
    expect(answers(one.line(line).write)).toMatchObject([{ subtype: 'error', request_id: 'r' }]);
    expect(answers(one.line(asked('r', { subtype: 'hook_callback' })).write)).toEqual([success('r', {})]);
  });

  it('knows a call by its id, or by its tool and input in any order of the members', () => {
    const byId = control({}, { known: [known] }).line(hook('r', 'old', { command: 'changed' }));
    expect(byId.asks).toMatchObject([{ approvalId: 'A', input: { command: 'changed' } }]);
    const byInput = control({}, { known: [known] }).line(hook('r', 'c', { timeout: 5, command: 'ls' }));
    expect(byInput.asks).toMatchObject([{ approvalId: 'A', callId: 'c' }]);
    for (const input of [{ command: 'ls' }, { command: 'ls', timeout: '5' }, null, []]) {
      expect(control({}, { known: [known] }).line(hook('r', 'c', input)).asks).toEqual([]);
    }
  });

  it('knows a call of an earlier task by its id alone', () => {
    const context = { known: [{ ...known, over: true }] };
    expect(control({}, context).line(hook('r', 'c', known.input)).asks).toEqual([]);
    expect(control({}, context).line(hook('r', 'old', known.input)).asks).toMatchObject([
      { approvalId: 'A' },
    ]);
  });

  it('gives two equal calls two approvals', () => {
    const one = control({}, { known: [known, { ...known, approvalId: 'B', callId: 'other' }] });
    const steps = [one.line(hook('r1', 'c1', known.input)), one.line(hook('r2', 'c2', known.input))];
    expect(steps.flatMap(({ asks }) => asks.map(({ approvalId }) => approvalId))).toEqual(['A', 'B']);
    expect(one.line(hook('r3', 'c3', known.input)).asks).toEqual([]);
  });

  it('uses an approval for one call', () => {
    const one = control({}, { known: [known] });
    one.line(hook('r1', 'c1', known.input));
    one.decide('c1', { decision: 'allow', input: known.input, rules: [] });
    expect(one.line(hook('r2', 'c2', known.input)).asks).toEqual([]);
  });

  it('answers nothing for a call that does not wait', () => {
    const one = control();
    expect(one.decide('c', { decision: 'deny', message: 'no' })).toBe('');
    expect(one.park('c', 'A')).toEqual({ write: '', waits: 'granted' });
    one.line(permission('r', 'c'));
    expect(one.line(text({ type: 'control_cancel_request', request_id: 'r' })).withdrawn).toEqual(['c']);
    expect(one.line(text({ type: 'control_cancel_request', request_id: 'r' })).withdrawn).toEqual([]);
    expect(one.decide('c', { decision: 'deny', message: 'no' })).toBe('');
  });

  it('asks a subagent not to repeat its call, and a call that no hook sees only once', () => {
    const one = control();
    one.line(permission('r1', 'c1', {}, { agent_id: 'a' }));
    const first = answers(one.park('c1', 'A').write)[0];
    expect(first.response.message).toContain('Do not make it again now.');
    one.line(permission('r2', 'c2', { command: 'x' }));
    expect(answers(one.park('c2', 'B').write)[0].response.message).toContain('the same call again now');
    expect(one.line(permission('r3', 'c3', { command: 'x' })).asks).toMatchObject([{ approvalId: 'B' }]);
    expect(answers(one.park('c3', 'B').write)[0].response.message).toContain('Do not make it again now.');
  });

  it('puts off no call while a message waits for its turn, and takes no message after that', () => {
    const one = control({}, { known: [known] });
    const message = one.steer({ id: 'm', text: '/clear @x' });
    expect(JSON.parse(message ?? '').message.content).toMatchObject([{ text: '\n/clear @x' }, {}]);
    one.line(hook('r1', 'c1', known.input));
    expect(one.park('c1', 'A').waits).toBe('granted');
    const state = (now: string) => text({ type: 'command_lifecycle', command_uuid: 'm', state: now });
    expect([one.line(state('queued')).taken, one.line(state('started')).taken]).toEqual([[], ['m']]);
    one.line(hook('r2', 'c2', known.input));
    const parked = one.park('c2', 'A');
    expect([parked.waits, answers(parked.write)]).toEqual(['deferred', [success('r2', decides('defer'))]]);
    expect(one.steer({ id: 'n', text: 'More' })).toBe(null);
    one.line(hook('r3', 'c3', { command: 'x' }));
    expect(answers(one.park('c3', 'B').write)).toEqual([]); // it was no ask
  });

  it('allows nothing whose input is not whole', () => {
    const one = control();
    const cut = new Set(['request']);
    expect(answers(one.line(hook('r', 'c'), cut).write)).toEqual([success('r', {})]);
    const step = one.line(permission('r', 'c'), cut);
    expect([answers(step.write), step.asks]).toEqual([
      [success('r', denies(expect.stringContaining('too long')))],
      [],
    ]);
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
    const line = permission('r', 'c', 'DEEP').replace('"DEEP"', deep);
    expect(one.line(line).asks).toEqual([]);
  });

  it('asks no person in a job that does not ask', () => {
    const one = control({ onPermissionDenied: 'report' }, { known: [{ ...known, over: true }] });
    const step = one.line(permission('r', 'c'));
    expect([step.asks, answers(step.write)]).toMatchObject([[], [{ response: { behavior: 'deny' } }]]);
    expect(one.line(hook('r2', 'old')).asks).toHaveLength(1);
    expect(answers(one.decide('old', { decision: 'deny', message: 'Over.' }))).toEqual([
      success('r2', decides('deny', { permissionDecisionReason: 'Over.' })),
    ]);
  });

  it('gives the input that was asked for when the decision has none that can run', () => {
    for (const input of [null, 'rm', []]) {
      const one = control();
      one.line(permission('r', 'c', { command: 'ls' }));
      expect(answers(one.decide('c', { decision: 'allow', input, rules: ['Bash(ls *)', 'Edit'] }))).toEqual([
        success('r', {
          behavior: 'allow',
          updatedInput: { command: 'ls' },
          updatedPermissions: [
            {
              type: 'addRules',
              rules: [{ toolName: 'Bash', ruleContent: 'ls *' }, { toolName: 'Edit' }],
              behavior: 'allow',
              destination: 'session',
            },
          ],
        }),
      ]);
    }
  });

  it('reports that claude refused the options of the protocol', () => {
    const refused = { subtype: 'error', request_id: 'hello', error: 'no hooks' };
    expect(control().line(text({ type: 'control_response', response: refused })).problem).toMatchObject({
      code: 'execution.crashed',
      message: expect.stringContaining('no hooks'),
    });
  });
});

describe('a run that waits for a person', () => {
  const ask = { onPermissionDenied: 'ask' } as const;
  const call = { id: 't1', name: 'Bash', input: {} };
  const putOff = { result: '', terminal_reason: 'tool_deferred', deferred_tool_use: call };

  it('is no success and no failure of the job, and counts the turns of the model only once', () => {
    const { translator, end } = fold([init(), result({ ...putOff, num_turns: 2 })], ask);
    expect(translator.deferred).toBe(true);
    expect(end()).toMatchObject({ turns: 2, error: { code: 'execution.awaiting_approval' } });
    const again = fold([result({ ...putOff, terminal_reason: undefined, num_turns: 17 })], ask);
    expect(again.translator.deferred).toBe(true);
    expect(again.end()).toMatchObject({ turns: 0, error: { code: 'execution.awaiting_approval' } });
  });

  it('is a denial in a job that does not ask: a hook of the user has put off the call', () => {
    const codes = [putOff, { ...putOff, terminal_reason: undefined }].map(
      (fields) => fold([init(), result(fields)]).end().error?.code,
    );
    expect(codes).toEqual(['execution.permission_denied', 'execution.permission_denied']);
  });

  it('fails for good when the tool of the call is gone', () => {
    const gone = { ...putOff, is_error: true, terminal_reason: 'tool_deferred_unavailable' };
    const { translator, end } = fold([init(), result({ ...gone, result: 'gone', num_turns: 13 })], ask);
    expect(translator.deferred).toBe(false);
    expect(end()).toMatchObject({ turns: 0, error: { code: 'execution.permission_denied' } });
  });

  it('does not report the denial of a call that waits, and reports that of a person', () => {
    const lines = [
      init(),
      assistant([{ type: 'tool_use', id: 't1', name: 'Bash', input: {} }]),
      toolResult('t1', 'no', {
        message: {
          content: [{ type: 'tool_result', tool_use_id: 't1', content: `${PARKED} …`, is_error: true }],
        },
      }),
      result({
        permission_denials: [
          { tool_name: 'Bash', tool_use_id: 't1', tool_input: {} },
          { tool_name: 'Edit', tool_use_id: 't2', tool_input: {} },
        ],
      }),
    ];
    expect(fold(lines, ask).end().permissionDenials).toEqual([{ tool: 'Edit', input: {} }]);
  });

  it('has no event for what the control answers', () => {
    const lines = [asked('r', { subtype: 'can_use_tool' }), text({ type: 'control_cancel_request' })];
    expect(fold(lines.map((line) => JSON.parse(line))).events).toEqual([]);
  });
});

describe('a message that was sent into a run', () => {
  const life = (id: string, state: string) => ({ type: 'command_lifecycle', command_uuid: id, state });
  const begun = [life('p', 'queued'), life('p', 'started'), init()];
  const first = result({ result: 'One.', user_message_uuids: ['p'], queued_turn_count: 0 });

  it('keeps the run open until it is answered', () => {
    const { translator, end } = fold(begun, {}, 'p');
    translator.joined?.('m');
    const read = (...lines: object[]) => {
      for (const line of lines) translator.line(text(line));
      return [translator.answered, translator.done];
    };
    expect(read(first, life('p', 'completed'))).toEqual([false, false]);
    expect(read(life('m', 'queued'), life('m', 'started'), init())).toEqual([false, false]);
    const second = result({ result: 'Two.', user_message_uuids: ['m'] });
    expect(read(second, life('m', 'completed'))).toEqual([true, true]);
    expect(end()).toMatchObject({ text: 'Two.', turns: 2, error: null });
  });

  it.each(['completed', 'cancelled'])('does not, once it is %s', (state) => {
    const { translator } = fold(begun, {}, 'p');
    translator.joined?.('m');
    for (const line of [life('m', state), first, life('p', 'completed')]) translator.line(text(line));
    expect([translator.answered, translator.done]).toEqual([true, true]);
  });

  it('does not keep a run open whose CLI reports nothing of messages', () => {
    const { translator } = fold([init()], {}, 'p');
    translator.joined?.('m');
    translator.line(text(result()));
    expect([translator.answered, translator.done]).toEqual([true, true]);
  });
});
