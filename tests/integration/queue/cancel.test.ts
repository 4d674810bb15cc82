import { describe, expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { startServer } from '../../helpers/server.ts';
import {
  accepted,
  breakableRedis,
  eventsOf,
  expectHealthyLog,
  expectOneExecution,
  fakeClis,
  post,
  sandboxesOf,
} from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const ACTIVE = '{bullpen}:prompts:active';

describe('a cancel', () => {
  it('between BullMQ and the submit ends the job, and its CLI is never started', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const env = { REDIS_URL: redis.url, BULLPEN_WORKERS: '1' };
    const server = await startServer({ config: clis.config, env });
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

  it('of a queued job ends it at once', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const env = { REDIS_URL: redis.url, BULLPEN_CONCURRENCY: '1', BULLPEN_WORKERS: '1' };
    const server = await startServer({ config: clis.config, env });
    const first = await accepted(server, { prompt: clis.held('gate', 'first') });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const queued = await accepted(server, { prompt: clis.held('never', 'no') });

    const cancelled = await post(server, `/v1/jobs/${queued}/cancel`, {});
    const repeated = await post(server, `/v1/jobs/${queued}/cancel`, {});
    clis.open('gate');

    expect(cancelled).toMatchObject({
      status: 202,
      body: { status: 'cancelled', outcome: { error: { code: 'execution.cancelled' } } },
    });
    expect(repeated).toMatchObject({ status: 200, body: { status: 'cancelled' } });
    expect(await server.finished(first)).toMatchObject({ status: 'succeeded' });
    await server.run({ provider: 'echo', prompt: 'after both' });
    expect(clis.pids()).toHaveLength(1);
  });

  it('of a submitted job that waits for a slot ends it at once', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const env = { REDIS_URL: redis.url, BULLPEN_CONCURRENCY: '1', BULLPEN_WORKERS: '2' };
    const server = await startServer({ config: clis.config, env });
    const first = await accepted(server, { prompt: clis.held('gate', 'first') });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const waiting = await accepted(server, { prompt: clis.held('never', 'no') });
    await eventually(async () => (await redis.admin.zscore('{bullpen}:pending', waiting)) !== null, PATIENCE);

    const cancelled = await post(server, `/v1/jobs/${waiting}/cancel`, {});
    clis.open('gate');

    expect(cancelled).toMatchObject({ status: 202, body: { status: 'cancelled', attempts: 0 } });
    expect(await server.finished(first)).toMatchObject({ status: 'succeeded' });
    expect(clis.pids()).toHaveLength(1);
  });

  it('a hundred times at once of a running job gives one outcome', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const server = await startServer({ config: clis.config, env: { REDIS_URL: redis.url } });
    const id = await accepted(server, { prompt: clis.held('never', 'half') });
    await eventually(() => clis.prompted() === 1, PATIENCE);

    const answers = await Promise.all(
      Array.from({ length: 100 }, () => post(server, `/v1/jobs/${id}/cancel`, {})),
    );
    const job = await server.finished(id);

    expect(answers.filter(({ status }) => status !== 202 && status !== 200)).toEqual([]);
    expect(job).toMatchObject({ status: 'cancelled', outcome: { error: { code: 'execution.cancelled' } } });
    await expectOneExecution(server, clis, job);
    expectHealthyLog(server);
  });
});
