import { describe, expect, it } from 'vitest';
import type { StoredEvent } from '../../../src/protocol/event.ts';
import type { JobCopy } from '../../../src/store/jobs.ts';
import type { Store } from '../../../src/store/store.ts';
import { aFinishedJob, aJob, anIntent, anOutcome, NO_DELIVERY, project, testStore } from './test-store.ts';

const DAY = (day: number) => `2026-03-${String(day).padStart(2, '0')}T00:00:00.000Z`;

const withEvents = async (store: Store, count: number, ...jobs: JobCopy[]) => {
  await project(store, ...jobs);
  for (const { id, createdAt } of jobs) await appendEvents(store, id, count, createdAt);
};

const appendEvents = (store: Store, jobId: string, count: number, at: string) => {
  const event = (_: unknown, index: number): StoredEvent => ({
    ...{ seq: index + 1, jobId, attempt: 1, at, raw: null },
    ...{ kind: 'text', text: 'x' },
  });
  return store.run('events.append', { jobId, events: Array.from({ length: count }, event) });
};

const eventsOf = async (store: Store, jobId: string) =>
  (await store.run('events.read', { jobId, after: 0, limit: 1000 })).length;

describe('the retention sweep', () => {
  it('takes events of jobs that ended long ago, and jobs that ended longer ago', async () => {
    const store = await testStore();
    const [gone, bare, kept] = [aFinishedJob(DAY(1)), aFinishedJob(DAY(10)), aFinishedJob(DAY(20))];
    await withEvents(store, 3, gone, bare, kept);
    const sweep = { finishedJobsBefore: DAY(5), eventsBefore: DAY(15), usageBefore: DAY(0), limit: 100 };
    expect(await store.run('retention.sweep', sweep)).toMatchObject({ jobs: 1, events: 6, more: true });
    expect(await store.run('jobs.get', { id: gone.id })).toBeNull();
    expect(await store.run('jobs.get', { id: bare.id })).not.toBeNull();
    expect(await eventsOf(store, bare.id)).toBe(0);
    expect(await eventsOf(store, kept.id)).toBe(3);
    expect(await store.run('retention.sweep', sweep)).toMatchObject({ jobs: 0, events: 0, more: false });
  });

  it('leaves a job that is not finished alone, however old', async () => {
    const store = await testStore();
    const job = aJob({ createdAt: DAY(1), status: 'scheduled' });
    await withEvents(store, 3, job);
    await store.run('retention.sweep', {
      finishedJobsBefore: DAY(28),
      eventsBefore: DAY(28),
      usageBefore: DAY(0),
      limit: 100,
    });
    expect(await store.run('jobs.get', { id: job.id })).toEqual(job);
    expect(await eventsOf(store, job.id)).toBe(3);
  });

  it('works in slices, a job only after its events', async () => {
    const store = await testStore();
    await withEvents(store, 5, aFinishedJob(DAY(1)), aFinishedJob(DAY(2)), aFinishedJob(DAY(3)));
    const slices = [];
    do {
      const sweep = { finishedJobsBefore: DAY(28), eventsBefore: DAY(4), usageBefore: DAY(0), limit: 4 };
      slices.push(await store.run('retention.sweep', sweep));
    } while (slices.at(-1)?.events === 4);
    expect(slices.map(({ events }) => events)).toEqual([4, 4, 4, 3]);
    expect(slices.reduce((sum, { jobs }) => sum + jobs, 0)).toBe(3);
  });

  it('takes events that a deleted job left behind', async () => {
    const store = await testStore();
    const job = aFinishedJob(DAY(1));
    await appendEvents(store, job.id, 2, DAY(1));
    const sweep = { finishedJobsBefore: DAY(1), eventsBefore: DAY(8), usageBefore: DAY(0), limit: 100 };
    expect(await store.run('retention.sweep', sweep)).toMatchObject({ events: 2 });
  });

  it('takes settled executions with the jobs, never one that has still to be delivered', async () => {
    const store = await testStore();
    for (const executionId of ['running', 'ended', 'delivered']) {
      await store.run('executions.intent', anIntent(executionId, DAY(1)));
    }
    for (const executionId of ['ended', 'delivered']) {
      await store.run('executions.ended', {
        executionId,
        outcome: anOutcome(),
        delivery: NO_DELIVERY,
        at: DAY(1),
      });
    }
    await store.run('executions.delivered', { executionId: 'delivered', superseded: false });
    const sweep = { finishedJobsBefore: DAY(5), eventsBefore: DAY(5), usageBefore: DAY(0), limit: 100 };
    expect(await store.run('retention.sweep', sweep)).toMatchObject({ executions: 1 });
    expect(await store.run('executions.find', { jobId: 'job of delivered', attempt: 1 })).toBeNull();
    expect(await store.run('executions.unsettled', {})).toHaveLength(1);
    expect(await store.run('executions.outbox', { limit: 5 })).toHaveLength(1);
  });
});
