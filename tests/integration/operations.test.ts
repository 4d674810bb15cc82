/** What docs/operations.md promises to the person who runs a server. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import type { Batch, Job } from '../../src/protocol/job.ts';
import type { Pause } from '../../src/protocol/server-info.ts';
import { REDIS_USER } from '../../src/redis/private/users.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { shared, whenOver } from '../helpers/shared.ts';
import { accepted, fakeClis } from './fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const HOUR_MS = 3_600_000;
const ENV = { BULLPEN_CONCURRENCY: '1', BULLPEN_SWEEP_MS: '50' };

/** A connection with all rights to the private Redis of a server. */
function redisOf({ home, redisPort }: TestServer): Redis {
  const password = readFileSync(join(home, 'redis', 'password'), 'utf8').trim();
  const redis = new Redis({ port: redisPort ?? 0, username: REDIS_USER, password });
  whenOver(() => redis.disconnect());
  return redis;
}

const system = shared(async () => {
  const clis = await fakeClis();
  const server = await startServer({ config: clis.config, env: ENV });
  return { clis, server, redis: redisOf(server) };
});

it('the log says where the server is when it is ready, and has a line for each job that ends', async () => {
  const { server } = await system();
  const { url, home, redisPort } = server;
  const logged = (msg: string) =>
    server
      .log()
      .split('\n')
      .filter((line) => line.includes(`"msg":"${msg}"`))
      .map((line) => JSON.parse(line));
  expect(logged('ready')).toMatchObject([
    {
      ...{ level: 30, url, redisPort, docs: `${url}/docs`, board: `${url}/admin/queues` },
      tokenFile: join(home, 'token'),
      recovery: { killedProcesses: 0, lost: 0, redelivered: 0 },
    },
  ]);
  const { id } = await server.run({ prompt: fakePrompt([{ exit: 1 }]) });
  await eventually(() => {
    expect(logged('job ended').filter(({ jobId }) => jobId === id)).toMatchObject([
      {
        ...{ level: 30, status: 'failed', code: 'execution.crashed', provider: 'claude', costUsd: null },
        durationMs: expect.any(Number),
      },
    ]);
  }, PATIENCE);
});

it('/ready names a Redis without AOF and one that may evict jobs', async () => {
  const { server, redis } = await system();
  const noted = (expected: string | null) =>
    eventually(async () => {
      const response = await server.api('GET', '/ready');
      expect([response.status, await response.json()]).toMatchObject([
        200,
        { ready: true, checks: { redis: { ok: true, detail: expected } } },
      ]);
    }, PATIENCE);
  const [aof, evicts] = [
    'AOF is off: an acknowledged job may be lost with Redis',
    'maxmemory-policy is not noeviction: Redis may evict jobs',
  ];
  await noted(null);
  await redis.config('SET', 'appendonly', 'no');
  await noted(aof);
  await redis.config('SET', 'maxmemory-policy', 'volatile-lru');
  await noted(`${aof}; ${evicts}`);
  await redis.config('SET', 'appendonly', 'yes');
  await noted(evicts);
  await redis.config('SET', 'maxmemory-policy', 'noeviction');
  await noted(null);
});

it('/metrics counts what happened', async () => {
  const { server, clis: all } = await system();
  const clis = all.fresh();
  /** The metrics of Bullpen by their name and labels. Times and late doorbells differ by run. */
  async function scrape(): Promise<Readonly<Record<string, number>>> {
    const text = await (await server.api('GET', '/metrics')).text();
    const lines = text.matchAll(/^bullpen_(?!doorbells|\w+_seconds(?:_sum|_bucket)?[ {])(\S+) (\S+)$/gm);
    return Object.fromEntries(Array.from(lines, ([, name = '', value]) => [name, Number(value)]));
  }
  const before = await scrape();
  const changes = async (expected: Readonly<Record<string, number>>): Promise<void> =>
    eventually(async () => {
      const now = Object.entries(await scrape()).map(([name, value]) => [name, value - (before[name] ?? 0)]);
      expect(Object.fromEntries(now.filter(([, change]) => change !== 0))).toEqual(expected);
    }, PATIENCE);
  expect(before).toMatchObject({ executions_limit: 1, nodes: 1, 'damaged_total{kind="job"}': 0 });

  for (const prompt of ['a', 'b']) await server.run({ provider: 'echo', prompt });
  expect(await server.run({ prompt: fakePrompt([{ exit: 1 }]) })).toMatchObject({ status: 'failed' });
  await accepted(server, { prompt: 'later', delayMs: HOUR_MS });
  const held = await accepted(server, { prompt: clis.held('gate', 'held') });
  await eventually(() => clis.prompted() === 2, PATIENCE);
  const next = await accepted(server, { provider: 'echo', prompt: 'next' });
  const run = (outcome: string, provider: string) =>
    `execution_duration_seconds_count{provider="${provider}",outcome="${outcome}"}`;
  const jobEnded = (outcome: string, provider: string, code = '') =>
    `jobs_ended_total{provider="${provider}",outcome="${outcome}",code="${code}"}`;
  const ended = {
    'jobs{status="failed"}': 1,
    'jobs{status="scheduled"}': 1,
    'open_jobs{status="scheduled",provider="claude"}': 1,
    [run('failed', 'claude')]: 1,
    [jobEnded('failed', 'claude', 'execution.crashed')]: 1,
  };
  await changes({
    ...ended,
    'jobs{status="succeeded"}': 2,
    'jobs{status="running"}': 1,
    'jobs{status="queued"}': 1,
    'execution_starts_total{start="cold"}': 4,
    'open_jobs{status="running",provider="claude"}': 1,
    'open_jobs{status="queued",provider="echo"}': 1,
    [run('succeeded', 'echo')]: 2,
    [jobEnded('succeeded', 'echo')]: 2,
    'queue_wait_seconds_count{provider="echo"}': 2,
    'queue_wait_seconds_count{provider="claude"}': 2,
    'time_to_first_token_seconds_count{provider="echo"}': 2,
    'time_to_first_token_seconds_count{provider="claude"}': 1,
    executions_running: 1,
    requests_pending: 1,
  });
  clis.open('gate');
  for (const id of [held, next]) await server.finished(id);
  await changes({
    ...ended,
    'jobs{status="succeeded"}': 4,
    'execution_starts_total{start="cold"}': 5,
    [run('succeeded', 'echo')]: 3,
    [run('succeeded', 'claude')]: 1,
    [jobEnded('succeeded', 'echo')]: 3,
    [jobEnded('succeeded', 'claude')]: 1,
    'queue_wait_seconds_count{provider="echo"}': 3,
    'queue_wait_seconds_count{provider="claude"}': 2,
    'time_to_first_token_seconds_count{provider="echo"}': 3,
    'time_to_first_token_seconds_count{provider="claude"}': 1,
    'tokens_total{provider="claude",kind="input"}': 10,
    'tokens_total{provider="claude",kind="output"}': 5,
    'cost_usd_total{provider="claude",basis="reported"}': 0.01,
  });
});

it('a Redis that loses its data while the server runs gets its jobs again, and none runs twice', async () => {
  const { server, redis, clis: all } = await system();
  const clis = all.fresh();
  const done = await server.run({ provider: 'echo', prompt: 'done' });
  const later = await server.run({ prompt: 'later', delayMs: HOUR_MS }, 0);
  const running = await accepted(server, { prompt: clis.held('gate', 'half'), autoContinue: false });
  await eventually(() => clis.prompted() === 1, PATIENCE);
  const waiting = await accepted(server, { provider: 'echo', prompt: 'waited' });
  expect((await server.api('GET', '/v1/jobs')).status).toBe(200); // the copies are up to date

  await redis.flushall();

  const again = await server.finished(waiting);
  expect(again).toMatchObject({ status: 'succeeded', attempts: 1, outcome: { text: 'waited' } });
  const both = [later, await server.job(later.id)];
  const [before, after] = both.map(({ scheduledFor, request: { runAt, ...request }, ...job }) => ({
    ...{ ...job, request, isSameTime: runAt === scheduledFor },
    inMs: Date.parse(scheduledFor ?? '') - Date.parse(job.createdAt),
  }));
  expect({ ...after, inMs: null }).toEqual({ ...before, inMs: null });
  expect(Math.abs((after?.inMs ?? 0) - (before?.inMs ?? 0))).toBeLessThan(1000);
  expect(await server.finished(running)).toMatchObject({
    status: 'failed',
    attempts: 1,
    outcome: { error: { code: 'execution.lost' } },
  });
  expect(await server.job(done.id)).toEqual(done);
  expect(clis.spawns()).toHaveLength(3);
});

it('a Redis that goes back to an older state makes no job run again that has ended since', async () => {
  const { server, redis, clis: all } = await system();
  const clis = all.fresh();
  const running = await accepted(server, { prompt: clis.held('gate', 'ran') });
  await eventually(() => clis.prompted() === 1, PATIENCE);
  // More than there are workers: the last two are not submitted.
  const echoes = { provider: 'echo', prompt: 'echo' };
  const queued = await Promise.all(Array.from({ length: 4 }, () => accepted(server, echoes)));
  const cancelled = await accepted(server, echoes);
  const ids = [running, ...queued, cancelled];
  const keys = await redis.keys('*');
  const [values, ttls] = await Promise.all([
    Promise.all(keys.map((key) => redis.dumpBuffer(key))),
    Promise.all(keys.map((key) => redis.pttl(key))),
  ]);

  expect((await server.api('POST', `/v1/jobs/${cancelled}/cancel`, {})).status).toBe(202);
  clis.open('gate');
  const ended = await Promise.all(ids.map((id) => server.finished(id)));
  expect(ended.map(({ status }) => status)).toEqual([...ids.slice(1).map(() => 'succeeded'), 'cancelled']);
  const spawned = clis.spawns();
  expect((await server.api('GET', '/v1/jobs')).status).toBe(200); // the copies are up to date
  const back = redis.multi().flushall();
  for (const [at, key] of keys.entries()) {
    const value = values[at];
    if (value) back.restore(key, Math.max(0, ttls[at] ?? 0), value);
  }
  await back.exec();

  const again = await Promise.all(ids.map((id) => server.finished(id)));
  expect(again.map(({ status, outcome }) => [status, outcome])).toEqual(
    ended.map(({ status, outcome }) => [status, outcome]),
  );
  expect(clis.spawns()).toEqual(spawned);
});

it('a token file that is deleted is as good as before until the restart', async () => {
  const { server } = await system();
  rmSync(join(server.home, 'token'));
  expect((await server.api('GET', '/v1/jobs')).status).toBe(200);
});

describe('what a person holds', () => {
  interface Answer extends Pick<Batch, 'counts'> {
    readonly paused: readonly Pause[];
    readonly data: readonly Job[];
    readonly id: string;
    readonly items: readonly { readonly id: string }[];
  }
  const json = async (response: Promise<Response>) => (await (await response).json()) as Answer; // as documented

  it('does not start, shows it everywhere, and goes on after the resume', async () => {
    const { server } = await system();
    const post = (path: string, body: object) => json(server.api('POST', path, body));
    const listed = async (query: string) =>
      (await json(server.api('GET', `/v1/jobs?batch=${batch.id}&${query}`))).data;
    const scope = { provider: 'claude' };
    const { paused } = await post('/v1/queue/pause', scope);
    expect(paused).toMatchObject([{ provider: 'claude', project: null }]);

    const delayed = { prompt: fakePrompt([]), runAt: new Date(Date.now() + HOUR_MS).toISOString() };
    const batch = await post('/v1/batches', { prompts: [{ prompt: fakePrompt([]) }, delayed] });
    const held = { status: 'waiting', waitReason: 'paused', scheduledFor: null };
    const single = await server.run({ prompt: fakePrompt([]) }, 0);
    expect(single).toMatchObject(held);
    const [id = '', later = ''] = batch.items.map((item) => item.id);
    expect(await server.job(id)).toMatchObject(held);
    expect(await server.job(later)).toMatchObject({ status: 'scheduled', scheduledFor: delayed.runAt });
    const { counts } = await json(server.api('GET', `/v1/batches/${batch.id}`));
    expect(counts).toMatchObject({ waiting: 1, scheduled: 1, queued: 0 });
    for (const [query, ids] of [
      ['status=waiting', [id]],
      ['waitReason=paused', [id]],
      ['status=queued', []],
      ['status=scheduled', [later]],
      ['status=queued,waiting&waitReason=paused,delayed', [id]],
    ] as const)
      expect(
        (await listed(query)).map((job) => job.id),
        query,
      ).toEqual(ids);
    expect((await listed('status=waiting'))[0]).toMatchObject(held);
    const batches = (await json(server.api('GET', '/v1/batches'))).data;
    expect(batches[0]).toMatchObject({ id: batch.id, counts });
    expect(await (await server.api('GET', '/metrics')).text()).toContain('bullpen_jobs{status="waiting"} 2');

    const now = new Date().toISOString();
    const patched = await json(server.api('PATCH', `/v1/jobs/${later}`, { runAt: now, priority: 5 }));
    expect(patched).toMatchObject({ ...held, priority: 5 });
    expect(await post('/v1/queue/resume', scope)).toEqual({ paused: [] });
    for (const one of [single.id, id, later])
      expect(await server.finished(one), one).toMatchObject({ status: 'succeeded' });
    const tooLate = await server.api('PATCH', `/v1/jobs/${later}`, { priority: 1 });
    expect([tooLate.status, await tooLate.json()]).toMatchObject([409, { code: 'job.already_finished' }]);
  });
});
