import { describe, expect, it } from 'vitest';
import { assistant, CLEAN, fold, init, modelUsage, result } from './claude-lines.ts';

type Lines = Parameters<typeof fold>[0];
const ID = 'prompt-1';
const LEFT_WITH_1 = { code: 1, signal: null };

const lifecycle = (state: string, uuid = ID) => ({ type: 'command_lifecycle', command_uuid: uuid, state });
const says = (text: string) => assistant([{ type: 'text', text }]);
const notice = { origin: { kind: 'task-notification' } };
/** What claude 2.1.329 writes on resume about tasks that died with the process before. */
const deadTask = result({ ...notice, result: '', num_turns: 0, terminal_reason: null });
const answers = (text: string, fields = {}) => result({ result: text, ...fields });
const tied = (text: string, fields = {}) => answers(text, { user_message_uuids: [ID], ...fields });
const failed = (fields = {}) =>
  result({
    is_error: true,
    result: 'API Error: 529',
    api_error_status: 529,
    terminal_reason: 'api_error',
    ...fields,
  });

const endOf = (lines: Lines, exit = CLEAN, promptId: string | null = ID) =>
  fold(lines, {}, promptId).end(exit);

describe('the answer to the prompt', () => {
  const before = [lifecycle('queued'), init(), deadTask, lifecycle('started'), init()];

  it.each<[string, Lines]>([
    ['after a notice about a dead task', [...before, says('Yes.'), tied('Yes.'), lifecycle('completed')]],
    ['as older CLIs tell it: by the origin alone', [init(), deadTask, init(), says('Yes.'), answers('Yes.')]],
    [
      'as still older ones tell it: the notice asked no model and says nothing',
      [init(), { ...deadTask, origin: null }, init(), answers('Yes.')],
    ],
    ['by the id alone, with any origin', [init(), deadTask, tied('Yes.', notice)]],
    [
      'in one piece with a notice',
      [lifecycle('queued'), init(), lifecycle('started'), says('Yes.'), tied('Yes.', notice)],
    ],
    ['by the life of its message alone', [...before, answers('Yes.'), lifecycle('completed')]],
    [
      'before a remark on a task that has ended',
      [lifecycle('started'), tied('Yes.'), lifecycle('completed'), answers('It ended.', notice)],
    ],
    [
      'before a wake-up, which names no message',
      [
        lifecycle('started'),
        tied('Yes.'),
        lifecycle('completed'),
        lifecycle('started', 'w'),
        answers('Awake.'),
      ],
    ],
    [
      'before an empty last word',
      [lifecycle('started'), tied('Yes.'), tied('', { num_turns: 1 }), lifecycle('completed')],
    ],
    [
      'with an empty last word of its own',
      [lifecycle('started'), says('Yes.'), tied(' \n', { num_turns: 2 })],
    ],
    [
      'after a notice that spoke',
      [
        lifecycle('queued'),
        says('About a task.'),
        answers('About a task.', notice),
        lifecycle('started'),
        tied('Yes.'),
      ],
    ],
    [
      'after a notice that failed',
      [lifecycle('queued'), failed(notice), lifecycle('started'), says('Yes.'), tied('Yes.')],
    ],
    ["beside a subagent's result", [answers('Inner.', { parent_tool_use_id: 't1' }), answers('Yes.')]],
    [
      'after a result that came before the prompt',
      [
        answers('Old.', { user_message_uuids: ['other'] }),
        lifecycle('queued'),
        lifecycle('started'),
        tied('Yes.'),
      ],
    ],
    [
      'from a wrapper that gave the message another id',
      [init(), answers('Yes.', { user_message_uuids: ['mine'] })],
    ],
    [
      'although other fields beside it are not as they were',
      [lifecycle('started'), deadTask, tied('Yes.', { usage: 7, origin: 'x' })],
    ],
  ])('is found %s', (_where, lines) => {
    expect(endOf(lines)).toMatchObject({ text: 'Yes.', error: null });
  });

  it('counts also when one of the two fields that say how it ended is of another form', () => {
    for (const odd of [{ is_error: null }, { is_error: 'false' }, { subtype: null }])
      expect(endOf([init(), says('Yes.'), answers('Yes.', odd)])).toMatchObject({
        text: 'Yes.',
        error: null,
      });
    const bad = answers('No.', { is_error: null, subtype: 'error_during_execution' });
    expect(endOf([init(), bad]).error).not.toBeNull();
    expect(endOf([init(), answers('No.', { is_error: true, subtype: 7 })]).error).not.toBeNull();
    expect(endOf([init(), answers('No.', { is_error: null, subtype: null })]).error).not.toBeNull();
  });

  it('is not a notice: a run with nothing else has not answered', () => {
    const lines = [lifecycle('queued'), init(), deadTask];
    expect(endOf(lines)).toMatchObject({ text: '', error: { code: 'execution.bad_output' } });
    expect(endOf([init(), deadTask], CLEAN, null).error?.code).toBe('execution.bad_output');
    expect(endOf([lifecycle('queued'), lifecycle('completed')]).error?.code).toBe('execution.bad_output');
  });

  it('does not take over the words of a notice when the run is cut', () => {
    const killed = { code: null, signal: 'SIGKILL' } as const;
    const lines = [says('About a task.'), answers('About a task.', notice), says('Half.')];
    expect(endOf(lines, killed).text).toBe('Half.');
  });

  it('stays a success when a later turn of the CLI failed, and the CLI exited with 1 for that', () => {
    const lines = [lifecycle('started'), tied('Yes.'), lifecycle('completed'), failed(notice)];
    expect(endOf(lines, LEFT_WITH_1)).toMatchObject({ text: 'Yes.', error: null });
    expect(endOf([lifecycle('started'), tied('Yes.')], LEFT_WITH_1).error?.code).toBe('execution.crashed');
  });

  it('that failed stays a failure after a good remark', () => {
    const lines = [
      lifecycle('started'),
      says('Half.'),
      failed({ user_message_uuids: [ID] }),
      answers('It ended.', notice),
    ];
    expect(endOf(lines)).toMatchObject({ text: 'Half.', error: { code: 'execution.overloaded' } });
  });

  it('adds up what every turn used, and the denials of its own turns', () => {
    const used = (costUSD: number) => ({ model_usage_since_last_result: { opus: modelUsage(costUSD) } });
    const denied = (tool: string) => ({ permission_denials: [{ tool_name: tool, tool_use_id: tool }] });
    const lines = [
      answers('About a task.', { ...notice, ...used(0.1), ...denied('Write') }),
      tied('Yes.', { num_turns: 2, ...used(0.2), ...denied('Bash') }),
      answers('It ended.', { ...notice, ...used(0.4), ...denied('Read') }),
    ];
    expect(endOf(lines)).toMatchObject({
      turns: 4,
      usage: { inputTokens: 3, costUsd: 0.7, costBasis: 'reported' },
      permissionDenials: [{ tool: 'Bash' }],
    });
  });
});

describe('the turn of the prompt', () => {
  const overAfter = (lines: Lines) => fold(lines, {}, ID).translator.answered;

  it('goes on behind a notice, and is over when the CLI is done with its message', () => {
    const lines = [
      lifecycle('queued'),
      init(),
      deadTask,
      lifecycle('started'),
      init(),
      tied('Yes.'),
      lifecycle('completed'),
    ];
    expect(lines.map((_, index) => overAfter(lines.slice(0, index + 1)))).toEqual([
      ...Array(6).fill(false),
      true,
    ]);
  });

  it('is over with its result if the CLI reports no messages', () => {
    expect(overAfter([init(), deadTask, init(), says('Yes.')])).toBe(false);
    expect(overAfter([init(), deadTask, init(), answers('Yes.')])).toBe(true);
  });

  it('is over when the CLI has dropped the message', () => {
    expect(overAfter([lifecycle('queued'), lifecycle('cancelled')])).toBe(true);
    expect(overAfter([lifecycle('completed', 'other')])).toBe(false);
  });
});
