import { describe, expect, it } from 'vitest';
import { formatClock, formatTime } from '../../../src/cli/format.ts';
import { createOutput } from '../../../src/cli/output.ts';
import { JobState } from '../../../src/cli/progress.ts';
import type { EventBody } from '../../../src/protocol/event.ts';
import { aJob, JOB_ID } from '../client/job.ts';
import { item } from './answers.ts';
import { screen } from './harness.ts';

const START = Date.parse(aJob().createdAt);
const moment = (seconds: number): number => START + seconds * 1000;
const OLDER = '01K9ZV4Q4S9V0M0X2T6D8Y3000';
const NEWER = '01K9ZV4Q4S9V0M0X2T6D8YZZZZ';

function stateAt(...events: readonly (readonly [seconds: number, event: EventBody])[]): JobState {
  const state = new JobState(aJob());
  for (const [seconds, event] of events) {
    const at = new Date(moment(seconds)).toISOString();
    state.event({ seq: 1, jobId: JOB_ID, attempt: 1, at, raw: null, ...event });
  }
  return state;
}

const running = { kind: 'job.running', executionId: 'e', node: 'n' } as const;
const due = (seconds: number): string => new Date(moment(seconds)).toISOString();

describe('the state of a job', () => {
  it('is queued behind those that run sooner, by priority and then by age', () => {
    const state = stateAt();
    expect(state.line(moment(5))).toBe('queued, 0:05');
    const queued = [item({ id: OLDER }), item({ id: NEWER }), item({ id: NEWER, priority: 1 }), item()];
    state.queue(aJob(), queued, false);
    expect(state.line(moment(65))).toBe('queued behind 2, 1:05');
    state.queue(aJob(), queued, true);
    expect(state.line(moment(65))).toBe('queued behind 2 or more, 1:05');
    state.queue(aJob({ waitReason: 'session' }), [item({ id: OLDER })], false);
    expect(state.line(moment(65))).toBe('queued (session), 1:05');
    const inAnHour = new Date(Date.now() + 3_600_000);
    const limited = { waitReason: 'quota', scheduledFor: inAnHour.toISOString() } as const;
    state.queue(aJob({ status: 'scheduled', ...limited }), [], false);
    expect(state.line(moment(65))).toBe(`queued (limit until ${formatTime(inAnHour, new Date())}), 1:05`);
  });

  it('waits for an answer, with and without a process', () => {
    const approval = { kind: 'approval.requested', approval: {} } as unknown as EventBody; // not read
    const waiting = { kind: 'job.waiting', waitReason: 'approval' } as const;
    const decided = {
      kind: 'approval.decided',
      approvalId: 'a',
      status: 'allowed',
      decidedBy: null,
    } as const;
    expect(stateAt([3, running], [5, approval]).line(moment(10))).toBe('waits for an answer 0:05');
    expect(stateAt([5, approval], [10, waiting]).line(moment(11))).toBe('waits for an answer 0:01');
    expect(stateAt([5, approval], [10, decided]).line(moment(11))).toBe('running 0:01');
    expect(stateAt([10, waiting], [20, decided], [20, { kind: 'job.queued' }]).line(moment(21))).toBe(
      'queued, 0:01',
    );
    const state = new JobState(aJob({ status: 'waiting', waitReason: 'approval' }));
    expect(state.line(moment(2))).toBe('waits for an answer 0:02');
  });

  it('runs, waits for its time, and is tried again', () => {
    expect(stateAt([3, running]).line(moment(45))).toBe('running 0:42');
    const delayed = { kind: 'job.scheduled', waitReason: 'delayed', scheduledFor: due(100) } as const;
    expect(stateAt([0, delayed]).line(moment(10))).toBe('due in 1 min 30 s');
    const backoff = { ...delayed, waitReason: 'backoff', scheduledFor: due(31) } as const;
    expect(stateAt([0, backoff]).line(moment(0))).toBe('retrying in 31 s');
    const retry = {
      kind: 'api_retry',
      retry: 1,
      maxRetries: 3,
      delayMs: 5000,
      status: 529,
      reason: '',
    } as const;
    const retried = [3, running] as const;
    expect(stateAt(retried, [10, retry]).line(moment(12))).toBe('retrying in 3 s');
    expect(stateAt(retried, [10, retry]).line(moment(20))).toBe('retrying');
    expect(stateAt(retried, [10, retry], [16, { kind: 'text.delta', text: 'x' }]).line(moment(17))).toBe(
      'running 0:01',
    );
  });

  it('is shown in minutes and hours', () => {
    expect([0, 61_000, 3_723_000].map(formatClock)).toEqual(['0:00', '1:01', '1:02:03']);
  });
});

describe('the line that shows it', () => {
  const CLEAR = '\r\u001b[2K';
  function terminal(isTTY: boolean) {
    const [stdout, stderr] = [screen(isTTY), screen(isTTY)];
    return { stdout, stderr, output: createOutput({ stdout, stderr, env: { NO_COLOR: '1' } }) };
  }

  it('goes when anything else comes, and is not put behind half a line', () => {
    const { stdout, stderr, output } = terminal(true);
    output.status('one');
    output.status('two');
    output.text('half');
    output.status('three');
    output.note('note');
    output.status(null);
    expect(stderr.written).toBe(`one${CLEAR}two${CLEAR}note\n`);
    expect(stdout.written).toBe('half\n');
  });

  it('is never written into a pipe', () => {
    const { stderr, output } = terminal(false);
    output.status('one');
    output.status(null);
    expect([stderr.written, output.live]).toEqual(['', false]);
  });

  it('fits a terminal, also one that says it has no columns', () => {
    const { stderr } = terminal(true);
    const wide = createOutput({ stdout: screen(), stderr: { ...stderr, columns: 0, isTTY: true }, env: {} });
    expect(wide.width).toBeNull();
    const none = { ...screen(true), columns: 0 };
    expect(createOutput({ stdout: none, stderr: none, env: {} }).width).toBe(80);
  });
});
