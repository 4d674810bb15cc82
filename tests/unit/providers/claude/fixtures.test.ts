import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { Exit } from '../../../../src/protocol/cli.ts';
import type { ExecutionEvent } from '../../../../src/protocol/event.ts';
import { createClaudeControl } from '../../../../src/providers/claude/control.ts';
import { createClaudeTranslator } from '../../../../src/providers/claude/translator.ts';
import type { Ask } from '../../../../src/providers/control.ts';
import type { Verdict } from '../../../../src/providers/provider.ts';

const FOLDER = new URL('../../../fixtures/providers/claude/', import.meta.url);
const CASES = readdirSync(FOLDER).filter((name) => existsSync(new URL(`${name}/stdout.jsonl`, FOLDER)));

/** What passes as it is, for who reads the CLI's own lines. */
const FOR_READERS = /"subtype":"(task_\w+|informational)"|\[Request interrupted by user/;

/** Fixtures whose job asks a person. */
const ASKS = /^(ask|message)-/;
const MESSAGE_ID = /"command_uuid":"([^"]+)","state":"queued"/g;

interface Replay {
  /** What the control asked for, and what it reported. */
  readonly asks: readonly Ask[];
  readonly taken: number;
  readonly withdrawn: readonly string[];
  readonly events: readonly ExecutionEvent[];
  readonly kinds: string;
  readonly done: boolean;
  readonly hopeless: string | null;
  readonly verdict: Verdict;
}

/** What the provider makes of a recorded run of the real CLI. */
function replay(name: string): Replay {
  const read = (file: string): string => readFileSync(new URL(`${name}/${file}`, FOLDER), 'utf8');
  const [promptId, ...messages] = [...read('stdout.jsonl').matchAll(MESSAGE_ID)].map(([, id = '']) => id);
  const isResumed = /^(resume|ask-decided|ask-put-off-again)/.test(name);
  const request = resolvedPrompt({
    sessionId: isResumed ? '01J' : null,
    onPermissionDenied: ASKS.test(name) ? 'ask' : 'report',
  });
  const translator = createClaudeTranslator(request, promptId === undefined ? {} : { promptId });
  const control = createClaudeControl(request, {
    promptId: promptId ?? 'none',
    known: [{ approvalId: 'A1', callId: 'toolu_offline000002x0', tool: 'Bash', input: null }],
    resumesCall: isResumed,
  });
  for (const id of messages) {
    control.steer({ id, text: 'More' });
    translator.joined?.(id);
  }
  const lines = read('stdout.jsonl').split('\n').filter(Boolean);
  const steps = lines.map((line) => control.line(line));
  const events = lines.flatMap((line) => translator.line(line));
  // `as`: the recorder writes exactly this shape.
  const { stderrTail, ...exit } = JSON.parse(read('exit.json')) as Exit & { stderrTail: string };
  const kinds = events.map(({ kind }) => kind).filter((kind, index, all) => kind !== all[index - 1]);
  return {
    asks: steps.flatMap(({ asks }) => asks),
    taken: steps.flatMap(({ taken }) => taken).length,
    withdrawn: steps.flatMap(({ withdrawn }) => withdrawn),
    events,
    kinds: kinds.join(' '),
    done: translator.done,
    hopeless: translator.hopeless?.code ?? null,
    verdict: translator.end(exit, stderrTail),
  };
}

describe('a recorded run of claude', () => {
  it.each(CASES)('%s holds no line the provider does not know', (name) => {
    const raw = replay(name).events.flatMap((event) => (event.kind === 'raw' ? [event.line] : []));
    expect(raw.filter((line) => !FOR_READERS.test(line))).toEqual([]);
  });

  it('that answers succeeds', () => {
    const { kinds, done, verdict } = replay('success');
    expect(kinds).toBe('session text.delta text usage');
    expect(done).toBe(true);
    expect(verdict).toMatchObject({ text: 'The parser is in src/parse.ts.', turns: 1, error: null });
    expect(verdict.usage).toMatchObject({ outputTokens: 8, costUsd: 0.000224, costBasis: 'reported' });
  });

  it('that uses a tool has all its events in order', () => {
    const { kinds, events, verdict } = replay('tool-use');
    expect(kinds).toBe('session reasoning text.delta text tool.started tool.ended text.delta text usage');
    expect(events.filter(({ kind }) => kind === 'tool.ended')).toMatchObject([
      { name: 'Bash', isError: false, output: '3' },
    ]);
    expect(verdict).toMatchObject({ text: 'There are 3 files.', turns: 2, error: null });
  });

  it('whose key is refused is hopeless at the first retry', () => {
    const { hopeless, verdict } = replay('auth-401');
    expect(hopeless).toBe('auth.required');
    expect(verdict).toMatchObject({ text: '', error: { code: 'auth.required', retryable: false } });
  });

  it.each([
    ['plan-limit', null],
    ['plan-limit-opus', 'opus'],
  ])('whose plan has reached its limit (%s) names its end and its models', (name, limitedModel) => {
    const { verdict } = replay(name);
    expect(verdict).toMatchObject({
      text: '',
      error: { code: 'execution.quota', resetsAt: '2027-01-15T08:00:00.000Z' },
      limitedModel,
    });
  });

  it('whose key has reached a rate limit names no end', () => {
    expect(replay('rate-limit-429').verdict.error).toMatchObject({
      code: 'execution.quota',
      resetsAt: null,
    });
  });

  it('that was limited and then answered succeeds', () => {
    const { events, verdict } = replay('rate-limit-429-retry');
    expect(events.filter(({ kind }) => kind === 'api_retry')).toMatchObject([{ retry: 1, status: 429 }]);
    expect(verdict).toMatchObject({ text: 'Here I am.', error: null });
  });

  it.each(['overloaded-529', 'server-500'])('that ended with %s may be tried again', (name) => {
    expect(replay(name).verdict.error).toMatchObject({ code: 'execution.overloaded', retryable: true });
  });

  it('that used its turns says so', () => {
    expect(replay('max-turns').verdict.error).toMatchObject({
      code: 'execution.max_turns',
      message: 'Reached maximum number of turns (1)',
    });
  });

  it('that was denied a tool succeeds and reports it', () => {
    expect(replay('permission-denied').verdict).toMatchObject({
      error: null,
      permissionDenials: [{ tool: 'Bash', input: { command: 'touch made.txt' } }],
    });
  });

  it('that resumed a session costs only its own part', () => {
    expect(replay('resume').verdict).toMatchObject({
      text: 'You are Ada.',
      usage: { costUsd: 0.00014, costBasis: 'reported' },
    });
  });

  it('of an unknown session is an invalid request', () => {
    expect(replay('unknown-session').verdict.error).toMatchObject({
      code: 'execution.invalid_request',
      message: expect.stringContaining('No conversation found'),
    });
  });

  it('that first speaks of a task that died before answers the prompt', () => {
    expect(replay('resume-dead-task').verdict).toMatchObject({
      text: 'Now it is well.',
      turns: 1,
      usage: { costBasis: 'reported' },
      error: null,
    });
  });

  it.each(['background-remark', 'background-remark-fails'])('with a %s is what it answered', (name) => {
    expect(replay(name).verdict).toMatchObject({ text: 'It is started.', turns: 3, error: null });
  });

  it.each([
    ['hook-blocked', 'echo not on fridays'],
    ['hook-refused', 'not on fridays'],
  ])('whose prompt was kept from the model (%s) fails and says why', (name, why) => {
    const { verdict } = replay(name);
    expect(verdict).toMatchObject({
      text: '',
      error: { code: 'execution.invalid_request', retryable: false },
    });
    expect(verdict.error?.message).toContain(why);
    expect(verdict.error?.message).not.toContain('Original prompt');
  });

  it.each([
    ['hook-stopped', 'execution.invalid_request', 'hook_stopped'],
    ['tool-deferred', 'execution.permission_denied', 'tool_deferred: Bash'],
  ])('that ended before it was finished (%s) is no success', (name, code, why) => {
    expect(replay(name).verdict.error).toMatchObject({ code, message: expect.stringContaining(why) });
  });

  it('without an MCP server it should have had warns of it', () => {
    const { events, verdict } = replay('mcp-failed');
    expect(events.filter(({ kind }) => kind === 'warning')).toEqual([
      {
        kind: 'warning',
        code: 'mcp_server_failed',
        message: 'the MCP server broken could not be started or reached: its tools are missing',
      },
    ]);
    expect(verdict.error).toBeNull();
  });

  it('with a schema has the structured output', () => {
    expect(replay('structured-output').verdict.structured).toEqual({ answer: 'yes', count: 2 });
  });

  it('that waits for a person asks twice for the call, and then waits in its session', () => {
    const { asks, verdict } = replay('ask-put-off');
    expect(asks).toMatchObject([
      { tool: 'Bash', input: { command: 'touch made.txt' }, approvalId: null },
      { tool: 'Bash', approvalId: 'A1' },
    ]);
    expect(verdict).toMatchObject({
      turns: 2,
      error: { code: 'execution.awaiting_approval' },
      permissionDenials: [],
    });
  });

  it('that goes on with the call asks for it first, and costs only its own part', () => {
    const { asks, kinds, verdict } = replay('ask-decided');
    expect(asks).toMatchObject([{ callId: 'toolu_offline000002x0', approvalId: 'A1' }]);
    expect(kinds).toBe('tool.ended session text.delta text usage');
    expect(verdict).toMatchObject({ turns: 1, error: null, usage: { costBasis: 'reported' } });
  });

  it('that puts the call off once more has asked the model nothing', () => {
    expect(replay('ask-put-off-again').verdict).toMatchObject({
      turns: 0,
      error: { code: 'execution.awaiting_approval' },
    });
  });

  it('that asks a question has it with its options', () => {
    const { asks, verdict } = replay('ask-question');
    expect(asks).toMatchObject([
      {
        kind: 'question',
        questions: [
          {
            question: 'Which database?',
            header: 'Database',
            options: [
              { label: 'SQLite', description: 'One file' },
              { label: 'Postgres', description: 'A server' },
            ],
            multiSelect: false,
          },
        ],
      },
    ]);
    expect(verdict).toMatchObject({ text: 'SQLite it is.', error: null });
  });

  it('that is interrupted withdraws what it asked', () => {
    const { asks, withdrawn, done, verdict } = replay('ask-interrupted');
    expect(withdrawn).toEqual(asks.map(({ callId }) => callId));
    expect([withdrawn.length, done, verdict.error?.code]).toEqual([1, true, 'execution.crashed']);
  });

  it.each([
    ['message-joined', 'Both done.'],
    ['message-late', 'The second answer.'],
  ])('with a message into its turn (%s) ends when that is answered', (name, text) => {
    const { taken, done, verdict } = replay(name);
    expect([taken, done]).toEqual([1, true]);
    expect(verdict).toMatchObject({ text, turns: 2, error: null });
  });

  it('that was terminated keeps the tokens and knows no cost', () => {
    const { done, verdict } = replay('sigterm-hang');
    expect(done).toBe(false);
    expect(verdict.error?.code).toBe('execution.crashed');
    expect(verdict.usage).toMatchObject({ inputTokens: 4, costUsd: null, costBasis: 'unknown' });
  });
});
