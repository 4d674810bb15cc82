import { describe, expect, it } from 'vitest';
import type { StoredEvent } from '../../../src/protocol/event.ts';
import type { Outcome } from '../../../src/protocol/outcome.ts';
import type { UsageDimension } from '../../../src/protocol/usage.ts';
import type { JobCopy } from '../../../src/store/jobs.ts';
import type { Store } from '../../../src/store/store.ts';
import { aFinishedJob, anIntent, anOutcome, aRequest, testStore } from './test-store.ts';

const DAY = (day: number): string => `2026-03-${String(day).padStart(2, '0')}T12:00:00.000Z`;

const usage = (costUsd: number | null, costBasis: 'reported' | 'estimated' | 'unknown') => ({
  ...{ inputTokens: 10, outputTokens: 5, cacheReadTokens: 2, cacheWriteTokens: 1 },
  ...{ costUsd, costBasis },
});

/** A finished job as the copier stores it: its executions' ends first, then the job. */
async function project(
  store: Store,
  changes: {
    readonly principal?: string;
    readonly project?: string;
    readonly tags?: string[];
    readonly model?: string | null;
    readonly at?: string;
  },
  ...outcomes: Partial<Outcome>[]
): Promise<JobCopy> {
  const at = changes.at ?? DAY(1);
  const finished = aFinishedJob(at);
  const request = aRequest({ tags: changes.tags ?? [], model: changes.model ?? null });
  const { principal = 'ann', project = 'default' } = changes;
  const job = { ...finished, principal, project, request };
  const events = outcomes.map((outcome, index): StoredEvent => {
    const executionId = `${job.id}-${index + 1}`;
    return {
      ...{ seq: index + 1, jobId: job.id, attempt: index + 1, at, raw: null },
      ...{ kind: 'execution.finished', executionId, outcome: anOutcome({ executionId, ...outcome }) },
    };
  });
  await store.run('events.append', { jobId: job.id, events });
  await store.run('copies.apply', { jobs: [job], removed: [], cursor: null });
  return job;
}

const report = (store: Store, by: UsageDimension, bounds = {}) =>
  store.run('usage.report', { project: null, by, from: null, to: null, ...bounds });

describe('usage', () => {
  it('adds up what is reported, estimated and unknown, each by itself', async () => {
    const store = await testStore();
    await project(store, {}, { usage: usage(0.1, 'reported') });
    await project(store, {}, { usage: usage(0.2, 'estimated') });
    await project(store, {}, { usage: usage(null, 'unknown'), status: 'failed' });
    expect(await report(store, 'day')).toEqual([
      {
        ...{ key: '2026-03-01', executions: 3, succeeded: 2, cancelled: 0, successRate: 2 / 3 },
        ...{ durationP50Ms: 812, durationP95Ms: 812 },
        ...{ inputTokens: 30, outputTokens: 15, cacheReadTokens: 6, cacheWriteTokens: 3 },
        ...{ costUsd: 0.3, reportedUsd: 0.1, estimatedUsd: 0.2, unknownCosts: 1 },
      },
    ]);
  });

  it('adds up by hour, and everything in one row', async () => {
    const store = await testStore();
    await project(
      store,
      { at: '2026-03-01T12:10:00.000Z' },
      { usage: usage(0.1, 'reported'), durationMs: 100 },
    );
    await project(
      store,
      { at: '2026-03-01T12:50:00.000Z' },
      { usage: usage(0.1, 'reported'), durationMs: 200 },
    );
    await project(
      store,
      { at: '2026-03-02T01:00:00.000Z' },
      { usage: usage(0.1, 'reported'), durationMs: 300 },
    );
    const keys = (await report(store, 'hour')).map(({ key, executions }) => [key, executions]);
    expect(keys).toEqual([
      ['2026-03-01T12', 2],
      ['2026-03-02T01', 1],
    ]);
    expect(await report(store, 'total')).toMatchObject([
      { key: 'total', executions: 3, costUsd: 0.3, durationP50Ms: 200, durationP95Ms: 300 },
    ]);
  });

  it('has success rates and the percentiles of run times by provider, model and project', async () => {
    const store = await testStore();
    const runs = Array.from({ length: 20 }, (_, index) => ({ durationMs: (index + 1) * 100 }));
    await project(store, { model: 'opus', project: 'web' }, ...runs.toReversed());
    const none = { usage: null, exit: null, durationMs: null };
    await project(store, { model: 'opus', project: 'web' }, { ...none, status: 'failed' });
    await project(store, { project: 'ops' }, { ...none, status: 'cancelled', provider: 'codex' });
    const web = {
      ...{ executions: 21, succeeded: 20, cancelled: 0, successRate: 20 / 21 },
      ...{ durationP50Ms: 1000, durationP95Ms: 1900 },
    };
    const ops = {
      ...{ executions: 1, succeeded: 0, cancelled: 1, successRate: null },
      ...{ durationP50Ms: null, durationP95Ms: null },
    };
    expect(await report(store, 'project')).toMatchObject([
      { key: 'ops', ...ops },
      { key: 'web', ...web },
    ]);
    expect(await report(store, 'provider')).toMatchObject([
      { key: 'claude', ...web },
      { key: 'codex', ...ops },
    ]);
  });

  it('counts every attempt of a job, once, however often the job is projected', async () => {
    const store = await testStore();
    const job = await project(
      store,
      {},
      { usage: usage(0.1, 'reported') },
      { usage: usage(0.2, 'reported') },
    );
    await store.run('copies.apply', { jobs: [{ ...job, rev: job.rev + 1 }], removed: [], cursor: null });
    expect(await report(store, 'provider')).toMatchObject([{ key: 'claude', executions: 2, costUsd: 0.3 }]);
  });

  it('knows that a refused execution has cost nothing, and not what a lost one has', async () => {
    const store = await testStore();
    const error = (code: string) => ({ code, message: 'x', retryable: false, resetsAt: null });
    const none = { usage: null, exit: null, provider: null, status: 'failed' as const };
    await project(store, {}, { ...none, error: error('execution.cli_missing') });
    await project(store, {}, { ...none, error: error('execution.lost') });
    await project(store, {}, { ...none, exit: { code: 1, signal: null }, error: error('execution.crashed') });
    expect(await report(store, 'provider')).toMatchObject([
      { key: 'claude', executions: 3, costUsd: 0, unknownCosts: 2 },
    ]);
  });

  it('is by model as the CLI named it, else as the job asked for it, else by none', async () => {
    const store = await testStore();
    await project(store, { model: 'asked' }, { model: 'reported', usage: usage(1, 'reported') });
    await project(store, { model: 'asked' }, { usage: usage(2, 'reported') });
    await project(store, {}, { usage: usage(4, 'reported') });
    const rows = await report(store, 'model');
    expect(rows.map(({ key, costUsd }) => [key, costUsd])).toEqual([
      ['asked', 2],
      ['reported', 1],
      [null, 4],
    ]);
  });

  it('counts an execution under each of its tags, and one without under none', async () => {
    const store = await testStore();
    await project(store, { tags: ['a', 'b'] }, { usage: usage(1, 'reported') });
    await project(store, { tags: ['b'] }, { usage: usage(2, 'reported') });
    await project(store, {}, { usage: usage(4, 'reported') });
    const rows = await report(store, 'tag');
    expect(rows.map(({ key, executions, costUsd }) => [key, executions, costUsd])).toEqual([
      ['a', 1, 1],
      ['b', 2, 3],
      [null, 1, 4],
    ]);
  });

  it("shows a project's own alone, and everybody's by caller", async () => {
    const store = await testStore();
    await project(store, { principal: 'ann' }, { usage: usage(1, 'reported') });
    await project(store, { principal: 'bob', project: 'web' }, { usage: usage(2, 'reported') });
    const rows = await report(store, 'caller');
    expect(rows.map(({ key, costUsd }) => [key, costUsd])).toEqual([
      ['ann', 1],
      ['bob', 2],
    ]);
    expect(await report(store, 'caller', { project: 'web' })).toMatchObject([{ key: 'bob', costUsd: 2 }]);
  });

  it('takes executions that ended at its beginning, and not at its end', async () => {
    const store = await testStore();
    for (const day of [1, 2, 3]) await project(store, { at: DAY(day) }, { usage: usage(day, 'reported') });
    const rows = await report(store, 'day', { from: DAY(2), to: DAY(3) });
    expect(rows.map(({ key }) => key)).toEqual(['2026-03-02']);
  });

  it('outlives its job, and goes when its own time is over', async () => {
    const store = await testStore();
    const job = await project(store, { tags: ['a'] }, { usage: usage(1, 'reported') });
    await store.run('jobs.delete', { id: job.id });
    expect(await report(store, 'tag')).toMatchObject([{ key: 'a', costUsd: 1 }]);
    const sweep = { finishedJobsBefore: DAY(5), eventsBefore: DAY(5), limit: 10 };
    await store.run('retention.sweep', { ...sweep, usageBefore: DAY(1) });
    expect(await report(store, 'day')).toHaveLength(1);
    await store.run('retention.sweep', { ...sweep, usageBefore: DAY(2) });
    expect(await report(store, 'day')).toEqual([]);
  });
});

describe('what a session has used', () => {
  const total = (store: Store, nativeSessionId: string, provider = 'codex') =>
    store.run('sessions.total', { provider, nativeSessionId });
  const tokens = (inputTokens: number) => ({
    ...{ inputTokens, outputTokens: 1, cacheReadTokens: 2, cacheWriteTokens: 3 },
  });
  const delivery = { from: 1, tail: [], backoffMs: null, rawAnswer: null };

  async function end(store: Store, executionId: string, sessionTokens: ReturnType<typeof tokens> | null) {
    await store.run('executions.intent', anIntent(executionId));
    const outcome = anOutcome({ executionId, provider: 'codex', nativeSessionId: 'thread' });
    await store.run('executions.ended', { executionId, outcome, delivery, sessionTokens, at: DAY(1) });
  }

  it('is what its last run reported, stored with the outcome', async () => {
    const store = await testStore();
    expect(await total(store, 'thread')).toBeNull();
    await end(store, 'e1', tokens(5));
    await end(store, 'e2', tokens(9));
    await end(store, 'e3', null); // a killed run reports nothing
    expect(await total(store, 'thread')).toEqual(tokens(9));
    expect(await total(store, 'thread', 'claude')).toBeNull();
    expect(await total(store, 'other')).toBeNull();
  });

  it('is forgotten with the jobs of its time', async () => {
    const store = await testStore();
    await end(store, 'e1', tokens(5));
    const sweep = { eventsBefore: DAY(1), usageBefore: DAY(1), limit: 10 };
    await store.run('retention.sweep', { ...sweep, finishedJobsBefore: DAY(1) });
    expect(await total(store, 'thread')).toEqual(tokens(5));
    await store.run('retention.sweep', { ...sweep, finishedJobsBefore: DAY(2) });
    expect(await total(store, 'thread')).toBeNull();
  });
});
