import { AsyncLocalStorage } from 'node:async_hooks';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ulid } from 'ulid';
import { describe, expect, it } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { shared } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';
import { accepted, breakableRedis, eventsOf, fakeClis } from './fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const SOON_MS = 3000;
const ECHO = { BULLPEN_PROVIDER: 'echo', BULLPEN_SWEEP_MS: '50', BULLPEN_LEASE_MS: '900' };
const jobKey = (id: string): string => `{bullpen}:job:${id}`;
const eventsKey = (id: string): string => `{bullpen}:events:${id}`;
const LOG = '{bullpen}:log';

/** What one test has damaged stays so in the next, over every start. */
const bench = shared(async () => {
  const redis = await breakableRedis();
  const clis = await fakeClis();
  const dir = tempDir();
  const env = { ...ECHO, REDIS_URL: redis.url };
  const start = () => startServer({ dir, config: clis.config, env });
  const ofTheFile = AsyncLocalStorage.snapshot();
  let server = await start();
  return {
    redis: redis.admin,
    clis,
    server: () => server,
    async restart(): Promise<TestServer> {
      server = await ofTheFile(start);
      return server;
    },
  };
});

async function setUp() {
  const { redis, clis, server, restart } = await bench();
  return { redis, clis: clis.fresh(), server: server(), restart };
}

const ids = async (server: TestServer): Promise<string[]> => {
  const response = await server.api('GET', '/v1/jobs?limit=100');
  expect(response.status).toBe(200);
  return ((await response.json()) as { data: Job[] }).data.map(({ id }) => id); // the documented answer
};

/** A job that waits, and that this server has a copy of. */
async function copied(server: TestServer, request: Record<string, unknown>): Promise<string> {
  const id = await accepted(server, request);
  await eventually(async () => expect(await ids(server)).toContain(id), PATIENCE);
  return id;
}

/** Everything but what is damaged works: a job runs, is listed, and is copied. */
async function expectAllElseWell(server: TestServer): Promise<void> {
  const job = await server.run({ prompt: 'well' });
  expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'well' } });
  expect(await ids(server)).toContain(job.id);
  for (const path of ['/v1/usage', '/v1/usage?by=tag', '/metrics', '/ready', `/v1/jobs/${job.id}`])
    expect((await server.api('GET', path)).status, path).toBe(200);
  const db = new DatabaseSync(join(server.home, 'ledger.db'), { readOnly: true });
  await eventually(() => {
    expect(db.prepare('SELECT status FROM jobs WHERE id = ?').get(job.id)).toEqual({ status: 'succeeded' });
  }, PATIENCE);
  db.close();
}

/** How often the log names something as damaged. */
const named = (server: TestServer, id: string): number =>
  server
    .log()
    .split('\n')
    .filter((line) => line.includes('cannot be read and') && line.includes(id)).length;

describe('something that is stored and cannot be read', () => {
  it('in a record costs that job alone, and is named once', async () => {
    const { redis, server, restart } = await setUp();
    const field = (name: string, value: string) => async (id: string) => {
      await redis.hset(jobKey(id), name, value);
    };
    const harms: ((id: string) => Promise<unknown>)[] = [
      field('outcome', '{'),
      field('outcome', 'x'.repeat(1_000_000)),
      field('request', '{'),
      field('request', 'null'),
      field('createdAt', 'x'),
      field('rev', 'x'),
      field('seq', '1e400'),
      field('status', 'odd'),
      (id) => redis.hdel(jobKey(id), 'principal'),
      (id) => redis.multi().del(jobKey(id)).set(jobKey(id), 'x').exec(),
    ];
    const later = { prompt: 'x', delayMs: 3_600_000 };
    const harmed: string[] = [];
    for (const harm of harms) {
      const id = await copied(server, later);
      await harm(id);
      await redis.xadd(LOG, '*', 'j', id);
      harmed.push(id);
    }
    await eventually(() => expect(harmed.filter((id) => named(server, id) === 0)).toEqual([]), PATIENCE);
    await expectAllElseWell(server);

    for (const [index, id] of harmed.entries()) {
      const answer = await server.api('GET', `/v1/jobs/${id}`);
      // A key that is no record has ended for good: the copy says so.
      const ended = index === harmed.length - 1;
      expect([id, answer.status]).toEqual([id, ended ? 200 : 500]);
      const body = await answer.json();
      if (ended)
        expect(body).toMatchObject({ status: 'failed', outcome: { error: { code: 'record.damaged' } } });
      else expect(body).toMatchObject({ code: 'record.damaged' });
    }
    expect(harmed.map((id) => named(server, id))).toEqual(harmed.map(() => 1));
    const ready = await server.api('GET', '/ready');
    expect([ready.status, await ready.json()]).toMatchObject([
      200,
      {
        ready: true,
        degraded: true,
        checks: { stored: { ok: false, detail: expect.stringContaining('10 stored records could') } },
      },
    ]);
    const metrics = await (await server.api('GET', '/metrics')).text();
    expect(metrics).toContain('bullpen_damaged_total{kind="job"} 10');
    const [gone = ''] = harmed.slice(-1);
    expect((await server.api('DELETE', `/v1/jobs/${gone}`)).status).toBe(204);
    expect((await server.api('GET', `/v1/jobs/${gone}`)).status).toBe(404);

    await server.kill('SIGKILL');
    await expectAllElseWell(await restart());
  });

  it('of a job that waits or runs ends that job, and holds up no other', async () => {
    const { redis, clis, server } = await setUp();
    const due = { prompt: 'x', delayMs: SOON_MS };
    const unreadable = await copied(server, due);
    await redis.hset(jobKey(unreadable), 'request', '{"prompt":1}');
    const odd = await accepted(server, {
      ...due,
      ttlMs: 3_600_000,
      concurrencyKey: 'k',
      retry: { maxAttempts: 2 },
    });
    const behind = await accepted(server, { ...due, delayMs: SOON_MS + 1, concurrencyKey: 'k' });
    for (const name of ['deadline', 'score', 'attempt', 'maxAttempts', 'lanes', 'appended', 'scheduledFor'])
      await redis.hset(jobKey(odd), name, '{x');
    const noRecord = await accepted(server, { ...due, concurrencyKey: 'l' });
    const next = await accepted(server, { ...due, delayMs: SOON_MS + 1, concurrencyKey: 'l' });
    await redis.multi().del(jobKey(noRecord)).set(jobKey(noRecord), 'x').exec();
    const running = await accepted(server, { provider: 'claude', prompt: clis.held('gate', 'said') });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    await redis.xadd(eventsKey(running), '*', 'x', 'y');
    await redis.xadd(eventsKey(running), '*', 'a', 1, 't', 1, 'e', '{');
    await redis.hset(jobKey(running), 'appended', 'x');
    const cutOff = await copied(server, { provider: 'claude', prompt: clis.held('never', 'said') });
    await eventually(() => clis.prompted() === 2, PATIENCE);
    await redis
      .multi()
      .del(jobKey(cutOff), eventsKey(cutOff))
      .set(jobKey(cutOff), 'x')
      .set(eventsKey(cutOff), 'x')
      .exec();
    for (const set of ['running', 'due', 'parked', 'released', 'expiries', 'pinned', 'lane:k:admin:m'])
      await redis.zadd(`{bullpen}:${set}`, 1, set === 'running' ? noRecord : ulid());

    const failed = { status: 'failed', outcome: { error: { code: 'record.damaged' } } };
    const read = async (id: string) => (await server.api('GET', `/v1/jobs/${id}`)).json();
    await eventually(async () => expect(await read(unreadable)).toMatchObject(failed), PATIENCE);
    await eventually(async () => expect(await read(cutOff)).toMatchObject({ status: 'failed' }), PATIENCE);
    for (const id of [odd, behind, next]) expect((await server.finished(id)).status).toBe('succeeded');
    await expectAllElseWell(server);
    clis.open('gate');
    expect(await server.finished(running)).toMatchObject({ status: 'succeeded' });
    const events = await eventsOf(server, running);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(await server.api('POST', '/v1/jobs', { prompt: 'm', concurrencyKey: 'm' })).toMatchObject({
      status: 202,
    });
  });

  it('in the log, under a key, in a batch or in the ledger is skipped', async () => {
    const { redis, server: first, restart } = await setUp();
    const done = await first.run({ prompt: 'a', tags: ['t'] });
    const other = await first.run({ prompt: 'b', tags: ['t'] });
    const key = { 'idempotency-key': 'k' };
    const made = await first.api('POST', '/v1/batches', { prompts: [{ prompt: 'c' }] }, key);
    const batch = (await made.json()) as { id: string }; // the documented answer
    await redis.xadd(LOG, '*', 'k', 'v');
    await redis.xadd(LOG, '*', 'j', 'no-ulid');
    await redis.xadd(LOG, '*', 'j', done.id, 'x', 'y');
    await redis.hset(`{bullpen}:batch:${batch.id}`, 'createdAt', 'x', 'entries', '{');
    for (const [at, id] of (await redis.keys('{bullpen}:idem:*')).entries()) if (at > 0) await redis.del(id);
    const posted = await first.api('POST', '/v1/jobs', { prompt: 'd' }, { 'idempotency-key': 'wrong' });
    expect(posted.status).toBe(202);
    for (const id of await redis.keys('{bullpen}:idem:*')) {
      if ((await redis.hget(id, 'job')) === batch.id) continue;
      await redis.multi().del(id).set(id, 'x').exec();
    }
    const again = await first.api('POST', '/v1/jobs', { prompt: 'd' }, { 'idempotency-key': 'wrong' });
    expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([202, null]);
    for (const answer of [
      await first.api('GET', `/v1/batches/${batch.id}`),
      await first.api('POST', '/v1/batches', { prompts: [{ prompt: 'c' }] }, key),
    ])
      expect([answer.status, await answer.json()]).toMatchObject([500, { code: 'record.damaged' }]);
    await expectAllElseWell(first);
    await first.stop();

    const db = new DatabaseSync(join(first.home, 'ledger.db'));
    db.prepare("UPDATE jobs SET tags = '{', request = '{' WHERE id = ?").run(done.id);
    db.prepare("UPDATE usage SET tags = '{' WHERE job_id = ?").run(done.id);
    db.prepare("UPDATE events SET body = '{' WHERE job_id = ? AND seq = 2").run(other.id);
    db.prepare("UPDATE executions SET outcome = '{', state = 'ended', delivery = '{' WHERE job_id = ?").run(
      other.id,
    );
    db.close();
    await redis.del(jobKey(done.id), jobKey(other.id), eventsKey(other.id));
    const second = await restart();
    await expectAllElseWell(second);
    expect(await ids(second)).not.toContain(done.id);
    const bad = await second.api('GET', `/v1/jobs/${done.id}`);
    expect([bad.status, await bad.json()]).toMatchObject([500, { code: 'record.damaged' }]);
    const events = await eventsOf(second, other.id);
    expect(events.map(({ seq }) => seq)).not.toContain(2);
    expect(events.at(-1)?.kind).toBe('job.finished');
    expect([named(second, `job ${done.id}`), named(second, `event ${other.id}/2`)]).toEqual([1, 1]);
  });

  it('under a key that every job needs makes the server unready, until it is repaired', async () => {
    const { redis, server } = await setUp();
    for (const set of ['log', 'ready', 'parked', 'due', 'running', 'nodes']) {
      const key = `{bullpen}:${set}`;
      await redis.multi().rename(key, 'aside').exec(); // one that is empty is not there
      await redis.set(key, 'x');
      const ready = await server.api('GET', '/ready');
      expect([set, ready.status, await ready.text()]).toEqual([
        set,
        503,
        expect.stringContaining('WRONGTYPE'),
      ]);
      await redis.multi().del(key).rename('aside', key).exec();
    }
    await expectAllElseWell(server);
  });
});
