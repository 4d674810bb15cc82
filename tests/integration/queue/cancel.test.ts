import { describe, expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { accepted, eventsOf, expectHealthyLog, post, sandboxesOf, sharedBench } from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const ACTIVE = '{bullpen}:prompts:active';
// One slot; a second worker carries a job that waits for it.
const setUp = sharedBench({ BULLPEN_CONCURRENCY: '1', BULLPEN_WORKERS: '2' });

describe('a cancel', () => {
  it('between BullMQ and the submit ends the job, and its CLI is never started', async () => {
    const { redis, clis, server } = await setUp();
    await server.run({ provider: 'echo', prompt: 'so that there is a worker' });
    const workers = sandboxesOf(server.pid);
    expect(workers).not.toEqual([]);

    for (const pid of workers) process.kill(pid, 'SIGSTOP');
    const id = await accepted(server, { prompt: clis.held('never', 'no') });
    await eventually(async () => (await redis.admin.lrange(ACTIVE, 0, -1)).includes(id), PATIENCE);
    const cancelled = await post(server, `/v1/jobs/${id}/cancel`, {});
    for (const pid of workers) process.kill(pid, 'SIGCONT');

    expect(cancelled).toMatchObject({
      status: 202,
      body: { status: 'cancelled', finished: true, attempts: 0 },
    });
    // The worker comes to the same end and is free for the next one.
    await eventually(async () => !(await redis.admin.lrange(ACTIVE, 0, -1)).includes(id), PATIENCE);
    await server.run({ provider: 'echo', prompt: 'next' });
    expect(clis.pids()).toEqual([]);
    expect(clis.spawns()).toHaveLength(2);
    expect((await eventsOf(server, id)).map(({ kind }) => kind)).toEqual(['job.queued', 'job.finished']);
    expectHealthyLog(server);
  });

  it('of a job that waits for a slot, or for a worker, ends it at once', async () => {
    const { clis, server } = await setUp();
    const first = await accepted(server, { prompt: clis.held('gate', 'first') });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const submitted = await accepted(server, { prompt: clis.held('never', 'no') });
    const queued = await accepted(server, { prompt: clis.held('never', 'no') });

    for (const id of [queued, submitted]) {
      const cancelled = await post(server, `/v1/jobs/${id}/cancel`, {});
      const repeated = await post(server, `/v1/jobs/${id}/cancel`, {});
      expect(cancelled).toMatchObject({
        status: 202,
        body: { status: 'cancelled', attempts: 0, outcome: { error: { code: 'execution.cancelled' } } },
      });
      expect(repeated).toMatchObject({ status: 200, body: { status: 'cancelled' } });
    }
    clis.open('gate');
    expect(await server.finished(first)).toMatchObject({ status: 'succeeded' });
    await server.run({ provider: 'echo', prompt: 'after all' });
    expect(clis.pids()).toHaveLength(1);
  });
});
