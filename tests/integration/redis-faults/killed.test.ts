import { describe, expect, it } from 'vitest';
import type { Job } from '../../../src/protocol/job.ts';
import { eventually } from '../../helpers/eventually.ts';
import type { TestServer } from '../../helpers/server.ts';
import {
  accepted,
  duplicatesIn,
  expectHealthyLog,
  expectOneExecution,
  expectPromptRefusal,
  isReady,
  type Posted,
  post,
  sharedBench,
  waitsInOutbox,
} from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
/** A job whose delivery BullMQ had begun when Redis died is delivered again after its lock. */
const setUp = sharedBench({
  BULLPEN_LOCK_MS: '3000',
  BULLPEN_SWEEP_MS: '200',
  BULLPEN_LEASE_MS: '1000',
});

const postEcho = (server: TestServer, prompt: string): Promise<Posted> =>
  post(server, '/v1/jobs', { provider: 'echo', prompt });
const postMany = (server: TestServer, name: string, count: number): Promise<Posted[]> =>
  Promise.all(Array.from({ length: count }, (_, at) => postEcho(server, `${name} ${at}`)));
const idsOf = (answers: readonly Posted[]): string[] =>
  answers.filter(({ status }) => status === 202).map(({ body }) => String(body['id']));

describe('a Redis that is killed under load and comes back with its data', () => {
  it('costs no accepted job its one outcome, and gives no job a second process', async () => {
    const { redis, clis, server } = await setUp();
    const held: string[] = [];
    for (const name of ['a', 'b', 'c']) held.push(await accepted(server, { prompt: clis.held(name, name) }));
    await eventually(() => clis.prompted() === 3, PATIENCE);
    const before = await postMany(server, 'before', 12);
    expect(before.map(({ status }) => status)).toEqual(before.map(() => 202));

    const [meanwhile] = await Promise.all([postMany(server, 'meanwhile', 10), redis.kill()]);
    for (const answer of meanwhile.filter(({ status }) => status !== 202)) expectPromptRefusal(answer);
    const during = await postMany(server, 'during', 5);
    for (const answer of during) expectPromptRefusal(answer);
    expect(await isReady(server)).toBe(false);
    for (const name of ['a', 'b', 'c']) clis.open(name); // three CLIs succeed while Redis is away
    await redis.restart();

    await eventually(() => isReady(server), PATIENCE);
    const after = await postMany(server, 'after', 8);
    expect(after.map(({ status }) => status)).toEqual(after.map(() => 202));

    const ids = [...held, ...idsOf([...before, ...meanwhile, ...after])];
    const jobs: Job[] = [];
    for (const id of ids) jobs.push(await server.finished(id));
    expect(jobs.filter(({ status }) => status !== 'succeeded')).toEqual([]);
    expect(duplicatesIn(jobs.map((job) => job.outcome?.executionId ?? ''))).toEqual([]);
    for (const job of jobs) await expectOneExecution(server, clis, job);
    expectHealthyLog(server);
  });

  it('that was away for longer than the lease leaves a success a success', async () => {
    const { redis, clis, server } = await setUp();
    const id = await accepted(server, { prompt: clis.held('gate', 'kept') });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const lease = Number(await redis.admin.zscore('{bullpen}:running', id));

    await redis.kill();
    clis.open('gate');
    await eventually(() => waitsInOutbox(server, id), PATIENCE);
    // The restart waits for the clock: the lease ran out while Redis was away.
    await eventually(() => Date.now() > lease + 100, PATIENCE);
    await redis.restart();
    const job = await server.finished(id);

    expect(job).toMatchObject({ status: 'succeeded', attempts: 1, outcome: { text: 'kept', error: null } });
    await expectOneExecution(server, clis, job);
    expectHealthyLog(server);
  });

  it('again and again is survived by every connection of the server', async () => {
    const { redis, server } = await setUp();
    for (let round = 0; round < 3; round += 1) {
      await redis.kill();
      await redis.restart();
      await eventually(() => isReady(server), PATIENCE);
      const job = await server.run({ provider: 'echo', prompt: `round ${round}` });
      expect(job).toMatchObject({ status: 'succeeded', outcome: { text: `round ${round}` } });
    }
    expectHealthyLog(server);
  });
});

describe('a Redis that forgets its scripts', () => {
  it('is taught them again, in the middle of jobs', async () => {
    const { redis, clis, server } = await setUp();
    const held = await accepted(server, { prompt: clis.held('gate', 'held') });
    await eventually(() => clis.prompted() === 1, PATIENCE);

    await redis.admin.script('FLUSH');
    clis.open('gate');
    const ids = idsOf(await postMany(server, 'echo', 5));
    await redis.admin.script('FLUSH');

    for (const id of [held, ...ids]) {
      const job = await server.finished(id);
      expect(job.status).toBe('succeeded');
      await expectOneExecution(server, clis, job);
    }
    expect(ids).toHaveLength(5);
    expectHealthyLog(server);
  });
});
