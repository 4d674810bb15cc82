import { describe, expect, it } from 'vitest';
import { wireError } from '../../../src/errors.ts';
import { executionsOf } from '../../../src/jobs/executions.ts';
import type { EventBody, StoredEvent } from '../../../src/protocol/event.ts';
import { jobOutcome, type Outcome } from '../../../src/protocol/outcome.ts';
import type { ExecutionRow } from '../../../src/store/executions.ts';
import { executionStarted as started } from '../../fakes/job-samples.ts';

const usage = {
  ...{ inputTokens: 1, outputTokens: 2, cacheReadTokens: 0, cacheWriteTokens: 0 },
  ...{ costUsd: 0.1, costBasis: 'reported' as const },
};
const lost = jobOutcome('failed', wireError('execution.lost', 'gone'));
const succeeded: Outcome = { ...lost, status: 'succeeded', error: null, provider: 'codex', usage };

/** One event a second. */
const at = (second: number): string => new Date(second * 1000).toISOString();
const running = (executionId: string): EventBody => ({ kind: 'job.running', executionId, node: 'other' });
const finished = (outcome: Outcome): EventBody => ({ kind: 'execution.finished', executionId: 'E', outcome });

function shown(attempts: readonly (readonly EventBody[])[], rows: readonly ExecutionRow[] = []) {
  const bodies = attempts.flatMap((events, index) => events.map((body) => ({ body, attempt: index + 1 })));
  const stored = bodies.map(({ body, attempt }, index): StoredEvent => {
    return { seq: index + 1, jobId: 'J', attempt, at: at(index), raw: null, ...body };
  });
  const readEvents = async (_: string, after: number) => stored.slice(after, after + 2);
  return executionsOf('J', { readEvents, rows, nodeId: 'this' });
}

const intent = {
  ...{ executionId: 'L1', jobId: 'J', attempt: 1, bootId: 'B', provider: 'claude' },
  ...{ createdAt: at(0), pid: 1, startedAt: at(1) },
};
const row = {
  ...intent,
  ...{ state: 'delivered', endedAt: at(2) },
  outcome: { ...succeeded, credential: 'claude:work', provider: 'claude' },
} as const satisfies ExecutionRow;

describe('the executions of a job', () => {
  it('are those of its events, with what is known while one runs', async () => {
    const session: EventBody = { kind: 'session', sessionId: 'S', nativeSessionId: 'n', model: null };
    const executions = await shown([
      [running('E1'), started, session, { kind: 'usage', usage }, finished(lost)],
      [{ kind: 'job.queued' }, running('E2'), started, finished(succeeded)],
      [running('E3')],
    ]);
    expect(executions).toEqual([
      {
        ...{ id: 'E1', attempt: 1, status: 'failed', node: 'other', provider: 'claude', credential: null },
        ...{ nativeSessionId: 'n', startedAt: at(1), endedAt: at(4), usage, outcome: lost },
      },
      {
        ...{ id: 'E2', attempt: 2, status: 'succeeded', node: 'other', provider: 'codex', credential: null },
        ...{ nativeSessionId: null, startedAt: at(7), endedAt: at(8), usage, outcome: succeeded },
      },
      {
        ...{ id: 'E3', attempt: 3, status: 'running', node: 'other', provider: null, credential: null },
        ...{ nativeSessionId: null, startedAt: null, endedAt: null, usage: null, outcome: null },
      },
    ]);
  });

  it('are those of the ledger when the events are gone; else the events win', async () => {
    expect(await shown([], [row])).toEqual([
      {
        ...{ id: 'L1', attempt: 1, status: 'succeeded', node: 'this', provider: 'claude' },
        ...{ credential: 'claude:work', nativeSessionId: null, startedAt: at(1), endedAt: at(2), usage },
        outcome: row.outcome,
      },
    ]);
    const open: ExecutionRow = { ...intent, state: 'running', attempt: 2, executionId: 'L2' };
    expect(await shown([[running('E1'), finished(lost)]], [row, open])).toMatchObject([
      { id: 'E1', status: 'failed', node: 'other', credential: null, usage: null, outcome: lost },
      { id: 'L2', status: 'running', node: 'this', outcome: null },
    ]);
  });

  it('are not guessed when the events cannot be read', async () => {
    const readEvents = () => Promise.reject(new Error('away'));
    await expect(executionsOf('J', { readEvents, rows: [row], nodeId: 'this' })).rejects.toThrow('away');
  });
});
