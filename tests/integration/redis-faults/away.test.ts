/** A Redis that goes away in several ways, under one server that has to bear with all of them. */
import { describe, expect, it } from 'vitest';
import type { Job } from '../../../src/protocol/job.ts';
import type { ProviderReport } from '../../../src/protocol/server-info.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { descendants, isAlive } from '../../helpers/proc.ts';
import type { TestServer } from '../../helpers/server.ts';
import {
  accepted,
  duplicatesIn,
  eventsOf,
  expectHealthyLog,
  expectOneExecution,
  expectPromptRefusal,
  isReady,
  type Posted,
  PROMPTLY_MS,
  post,
  readEvents,
  sharedBench,
  waitsInOutbox,
} from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
/** A job whose delivery BullMQ had begun when Redis died is delivered again after its lock. */
const setUp = sharedBench({
  BULLPEN_LOCK_MS: '3000',
  BULLPEN_SWEEP_MS: '200',
  BULLPEN_LEASE_MS: '1000',
  BULLPEN_RETRY_BACKOFF_MS: '50',
  BULLPEN_DRAIN_MS: '300',
  BULLPEN_KILL_GRACE_MS: '300',
});
const counted = (length: number): number[] => Array.from({ length }, (_, index) => index + 1);

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

describe('a Redis that is stopped, its connections open', () => {
  it('is answered with 503 in time, harms no running job, and is used again', async () => {
    const { redis, clis, server } = await setUp();
    const before = await accepted(server, { prompt: clis.held('before', 'ends before') });
    const during = await accepted(server, { prompt: clis.held('during', 'ends in between') });
    await eventually(() => clis.prompted() === 2, PATIENCE);

    await redis.pause();
    try {
      clis.open('during');
      const answers = await Promise.all(
        Array.from({ length: 5 }, (_, at) => post(server, '/v1/jobs', { provider: 'echo', prompt: `${at}` })),
      );
      for (const answer of answers) expectPromptRefusal(answer);
      expectPromptRefusal(await post(server, `/v1/jobs/${before}/cancel`, {}));
      expect(await isReady(server)).toBe(false);
      await eventually(() => waitsInOutbox(server, during), PATIENCE);
    } finally {
      await redis.resume();
    }
    await eventually(() => isReady(server), PATIENCE);
    const after = await accepted(server, { provider: 'echo', prompt: 'after' });

    // A cancel that was answered with 503 may have been accepted.
    clis.open('before');
    for (const [id, text] of [
      [during, 'ends in between'],
      [after, 'after'],
    ] as const) {
      const job = await server.finished(id);
      expect(job).toMatchObject({ status: 'succeeded', outcome: { text } });
      await expectOneExecution(server, clis, job);
    }
    expect(['succeeded', 'cancelled']).toContain((await server.finished(before)).status);
    expectHealthyLog(server);
  });

  it('is answered in time also when many ask for lists at once, and providers are known', async () => {
    const { redis, server } = await setUp();
    await server.run({ provider: 'echo', prompt: 'one' });
    const providers = async () => {
      const { data } = (await (await server.api('GET', '/v1/providers')).json()) as {
        data: ProviderReport[];
      }; // the documented answer
      return data.map(({ name, credentials }) => [name, credentials.map(({ status }) => status)]);
    };
    const known = await providers();
    expect(known).toContainEqual(['echo', ['ok']]);

    await redis.pause();
    try {
      expect(await providers()).toEqual(known); // from memory
      const asked = Array.from({ length: 6 }, async () => {
        const began = performance.now();
        const { status } = await server.api('GET', '/v1/jobs');
        return { status, ms: performance.now() - began };
      });
      for (const { status, ms } of await Promise.all(asked)) {
        expect(status).toBe(503);
        expect(ms).toBeLessThan(PROMPTLY_MS);
      }
    } finally {
      await redis.resume();
    }
    await eventually(async () => (await server.api('GET', '/v1/jobs')).status === 200, PATIENCE);
  });
});

describe('a reader of events', () => {
  it('stays over a restart of Redis, without a gap or a duplicate, and to the end', async () => {
    const { redis, clis, server } = await setUp();
    const id = await accepted(server, {
      prompt: fakePrompt([
        { deltas: { count: 20, text: 'x' } },
        { waitFor: clis.latch('away') },
        { deltas: { count: 20, text: 'y' } },
        { touch: clis.latch('said') },
        { waitFor: clis.latch('back') },
        { deltas: { count: 20, text: 'z' } },
      ]),
    });
    const reader = await readEvents(server, id);
    const deltas = (): number => reader.seen.filter(({ kind }) => kind === 'text.delta').length;
    await eventually(() => deltas() === 20, PATIENCE);

    await redis.kill();
    clis.open('away');
    await eventually(() => clis.isOpen('said'), PATIENCE); // the CLI talks on while Redis is away
    expect(deltas()).toBe(20);
    await redis.restart();
    await eventually(() => isReady(server), PATIENCE);
    await eventually(() => deltas() === 40, PATIENCE);
    clis.open('back');
    await reader.ended;

    expect(reader.seen.map(({ seq }) => seq)).toEqual(counted(reader.seen.length));
    expect(deltas()).toBe(60);
    expect(reader.seen.at(-1)).toMatchObject({ kind: 'job.finished', job: { id, status: 'succeeded' } });
    expect(reader.seen).toEqual(await eventsOf(server, id));
    expectHealthyLog(server);
  });

  it('that comes back goes on where it was, through a second attempt', async () => {
    const { clis, server } = await setUp();
    const overloaded = {
      is_error: true,
      subtype: 'error_during_execution',
      api_error_status: 529,
      result: 'busy',
    };
    const id = await accepted(server, {
      retry: { maxAttempts: 2, mode: 'restart' },
      prompt: fakePrompt([{ delta: 'first words' }, { waitFor: clis.latch('gate') }, { result: overloaded }]),
    });
    const first = await readEvents(server, id);
    await eventually(() => first.seen.some(({ kind }) => kind === 'text.delta'), PATIENCE);
    await first.leave();
    clis.open('gate'); // for both attempts

    const second = await readEvents(server, id, first.lastId());
    await second.ended;

    const seen = [...first.seen, ...second.seen];
    expect(seen.map(({ seq }) => seq)).toEqual(counted(seen.length));
    const of = (kind: string): number[] =>
      seen.filter((event) => event.kind === kind).map(({ attempt }) => attempt);
    expect(of('job.running')).toEqual([1, 2]);
    expect(of('execution.finished')).toEqual([1, 2]);
    expect(of('job.scheduled')).toEqual([1]);
    expect(seen.at(-1)).toMatchObject({
      kind: 'job.finished',
      job: { status: 'failed', attempts: 2, outcome: { error: { code: 'execution.overloaded' } } },
    });
    expect(clis.spawns()).toHaveLength(2);
    const again = await server.api('GET', `/v1/jobs/${id}/events`, undefined, {
      accept: 'text/event-stream',
      'last-event-id': second.lastId(),
    });
    expect(again.status).toBe(204);
  });
});

it('SIGTERM ends a server whose Redis is gone, with all its processes', async () => {
  const { redis, clis, server } = await setUp();
  await accepted(server, { prompt: clis.held('never', 'half') });
  await eventually(() => clis.prompted() === 1, PATIENCE);
  const below = descendants(server.pid);
  await redis.kill();

  expect(await server.kill('SIGTERM')).toEqual({ code: 0, signal: null });

  expect(below.length).toBeGreaterThan(0);
  expect(below.filter(isAlive)).toEqual([]);
  expect(server.log()).not.toContain('a part did not stop cleanly');
});
