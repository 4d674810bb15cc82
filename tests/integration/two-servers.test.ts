import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Client, createClient } from '../../src/client/client.ts';
import type { Job } from '../../src/protocol/job.ts';
import type { Node } from '../../src/protocol/server-info.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt, journalOf } from '../helpers/fake-cli.ts';
import { descendants, isAlive } from '../helpers/proc.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { shared } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';
import {
  accepted,
  type BreakableRedis,
  breakableRedis,
  duplicatesIn,
  eventsOf,
  expectHealthyLog,
  expectOneExecution,
  type FakeClis,
  fakeClis,
  readEvents,
} from './fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const SHORT_LEASES = {
  BULLPEN_NODE_LOST_AFTER_MS: '2000',
  BULLPEN_LEASE_MS: '600',
  BULLPEN_SWEEP_MS: '100',
  BULLPEN_LOCK_MS: '2000',
};

interface Host {
  readonly dir: string;
  readonly nodeId: () => string;
  start(env?: Readonly<Record<string, string>>): Promise<TestServer>;
}

/** A place for a server; all of one test share a Redis and the folder the jobs run in. */
function hosts(redis: BreakableRedis, clis: FakeClis, env: Readonly<Record<string, string>> = {}) {
  const shared = join(tempDir(), 'work');
  mkdirSync(shared);
  return (): Host => {
    const dir = tempDir();
    return {
      dir,
      nodeId: () => readFileSync(join(dir, 'data', 'node-id'), 'utf8').trim(),
      start: (more = {}) =>
        startServer({
          dir,
          config: clis.config,
          env: { REDIS_URL: redis.url, BULLPEN_CWD: shared, ...env, ...more },
        }),
    };
  };
}

const pair = shared(async () => {
  const redis = await breakableRedis();
  const clis = await fakeClis();
  const host = hosts(redis, clis, {
    BULLPEN_CONCURRENCY: '2',
    BULLPEN_RAW_REQUESTS: 'on',
    BULLPEN_PROVIDER: 'echo',
  });
  const [first, second] = [host(), host()];
  const [a, b] = await Promise.all([first.start(), second.start()]);
  return { redis, clis, host, first, second, a, b };
});

async function setUp() {
  const { clis, ...rest } = await pair();
  return { ...rest, clis: clis.fresh() };
}

/** Jobs that wait for `gate`, one for each slot of both servers. */
async function fillSlots(server: TestServer, clis: FakeClis, slots: number, gate: string): Promise<string[]> {
  const ids: string[] = [];
  for (let slot = 0; slot < slots; slot += 1) {
    ids.push(await accepted(server, { provider: 'claude', prompt: clis.held(gate, `held ${slot}`) }));
  }
  await eventually(() => clis.prompted() === slots, PATIENCE);
  return ids;
}

/**
 * SIGKILL to a server and to every process of its own at once, as the kernel does it when memory is
 * short.
 */
async function killAllBut(spared: readonly number[], server: TestServer): Promise<void> {
  const own = descendants(server.pid).filter((pid) => !spared.includes(pid));
  for (const pid of own) process.kill(pid, 'SIGSTOP'); // so that none can act on the death of another
  await server.kill('SIGKILL');
  for (const pid of own) process.kill(pid, 'SIGKILL');
}

/** The fields of answers that these tests look at. */
interface Answered {
  readonly id: string;
  readonly code: string;
  readonly sessionId: string;
  readonly prompt: string;
  readonly data: readonly unknown[];
  readonly items: readonly { readonly id: string }[];
}

/** Requests with a key of its own, made through `a`. */
async function keyOf(a: TestServer, project: string, scopes = ['jobs:write', 'usage:read']) {
  const made = await a.api('POST', '/v1/keys', { name: 'test', project, scopes });
  const { id, token } = (await made.json()) as { id: string; token: string }; // the documented answer
  const headers = { authorization: `Bearer ${token}` };
  const asks = async (server: TestServer, method: string, path: string, body?: object, more = {}) => {
    const response = await server.api(method, path, body, { ...headers, ...more });
    return { status: response.status, body: (await response.json()) as Answered }; // the documented answers
  };
  return { id, headers, asks };
}

describe('two servers with one Redis', () => {
  it('share the jobs, run each once, and both tell of all', async () => {
    const { clis, first, second, a, b } = await setUp();
    const held = await fillSlots(a, clis, 4, 'gate');
    const onFirst = (await Promise.all(held.map((id) => b.job(id)))).find(
      ({ node }) => node === first.nodeId(),
    );
    const watched = await readEvents(b, onFirst?.id ?? ''); // from the server that does not run it
    await eventually(() => watched.seen.some(({ kind }) => kind === 'text.delta'), PATIENCE);
    const ids = [...held];
    for (let at = 0; at < 16; at += 1) {
      ids.push(await accepted(at % 2 === 0 ? a : b, { provider: 'echo', prompt: `job ${at}` }));
    }
    clis.open('gate');

    const jobs: Job[] = [];
    for (const id of ids) jobs.push(await a.finished(id));

    expect(jobs.filter(({ status }) => status !== 'succeeded')).toEqual([]);
    expect(duplicatesIn(clis.spawns())).toEqual([]);
    expect(clis.spawns()).toHaveLength(20);
    const nodes = jobs.slice(0, 4).map(({ node }) => node);
    for (const host of [first, second])
      expect(nodes.filter((node) => node === host.nodeId())).toHaveLength(2);
    for (const job of jobs) {
      expect(await b.job(job.id)).toEqual(job);
      await expectOneExecution(job.node === first.nodeId() ? b : a, clis, job);
    }
    for (const server of [a, b]) {
      const list = (await (await server.api('GET', '/v1/jobs?limit=100')).json()) as { data: Job[] };
      expect(new Set(list.data.map(({ id }) => id))).toEqual(new Set(ids));
      expect(new Set(list.data.map(({ status }) => status))).toEqual(new Set(['succeeded']));
    }
    await watched.ended;
    expect(watched.seen).toEqual(await eventsOf(a, onFirst?.id ?? ''));
    for (const server of [a, b]) expectHealthyLog(server);
  });

  it('keep projects apart, and refuse a key once either has revoked it', async () => {
    const { a, b } = await setUp();
    const [web, same, ops] = [await keyOf(a, 'web'), await keyOf(a, 'web'), await keyOf(a, 'ops')];
    await eventually(async () => expect((await ops.asks(b, 'GET', '/v1/jobs')).status).toBe(200), PATIENCE);
    const once = { 'idempotency-key': 'the-same-for-both' };
    const prompt = { provider: 'claude', prompt: fakePrompt([], 'zebra of web') };
    const { body: job } = await web.asks(a, 'POST', '/v1/jobs?wait=30', prompt, once);
    const { body: batch } = await web.asks(a, 'POST', '/v1/batches', { prompts: [prompt] });
    const batchJob = batch.items[0]?.id ?? '';
    await a.finished(batchJob);

    const lists = ['/v1/jobs', '/v1/jobs?q=zebra', `/v1/jobs?batch=${batch.id}`, '/v1/jobs?project=web'];
    for (const path of [...lists, '/v1/batches', '/v1/usage'])
      expect((await ops.asks(b, 'GET', path)).body.data, path).toEqual([]);
    for (const path of [...lists, '/v1/batches', '/v1/usage'])
      expect((await same.asks(b, 'GET', path)).body.data.length, path).toBeGreaterThan(0);
    for (const path of ['', '/executions', '/events'])
      expect((await ops.asks(b, 'GET', `/v1/jobs/${job.id}${path}`)).body.code).toBe('job.not_found');
    for (const path of ['', '/results', '/events'])
      expect((await ops.asks(b, 'GET', `/v1/batches/${batch.id}${path}`)).body.code).toBe('batch.not_found');
    for (const path of ['cancel', 'retry'])
      expect((await ops.asks(b, 'POST', `/v1/jobs/${job.id}/${path}`)).body.code).toBe('job.not_found');
    const all = { filter: {}, all: true };
    expect((await ops.asks(b, 'POST', '/v1/jobs/cancel', all)).body).toMatchObject({ matched: 0 });
    const resumed = { ...prompt, sessionId: job.sessionId };
    expect((await ops.asks(b, 'POST', '/v1/jobs', resumed)).body.code).toBe('session.not_found');
    const turn = await same.asks(b, 'POST', '/v1/jobs', resumed);
    expect(turn.status).toBe(202);
    const own = await ops.asks(b, 'POST', '/v1/jobs', prompt, once);
    expect([own.status, own.body.id === job.id]).toEqual([202, false]);
    expect((await web.asks(b, 'POST', '/v1/jobs', prompt, once)).body.id).toBe(job.id);
    expect((await same.asks(b, 'GET', `/v1/jobs/${job.id}`)).body.prompt).toContain('zebra of web');

    for (const { body } of [turn, own]) await a.finished(body.id);

    const changes = await fetch(`${b.url}/v1/events?after=0`, {
      headers: { ...ops.headers, accept: 'application/x-ndjson' },
    });
    expect((await a.api('POST', `/v1/keys/${ops.id}/revoke`)).status).toBe(200);
    const seen = await changes.text(); // it ends
    expect(seen).toContain(own.body.id);
    for (const hidden of [job.id, batchJob]) expect(seen).not.toContain(hidden);
    expect((await ops.asks(b, 'GET', '/v1/jobs')).status).toBe(401);
  });

  it('leave the jobs to each other while one is drained', async () => {
    const { clis, first, a, b } = await setUp();
    const drain = (action: string) => a.api('POST', `/v1/nodes/${first.nodeId()}/${action}`);
    expect(await (await drain('drain')).json()).toMatchObject({ id: first.nodeId(), status: 'drained' });
    const nodes = (await (await b.api('GET', '/v1/nodes')).json()) as { data: Node[] }; // as documented
    expect(nodes.data.map(({ id, status }) => [id === first.nodeId(), status]).sort()).toEqual([
      [false, 'ok'],
      [true, 'drained'],
    ]);
    const ids: string[] = [];
    for (let at = 0; at < 6; at += 1) ids.push(await accepted(a, { provider: 'echo', prompt: `job ${at}` }));
    for (const id of ids) expect((await b.finished(id)).node).not.toBe(first.nodeId());
    expect(await (await drain('resume')).json()).toMatchObject({ status: 'ok' });
    const held = await fillSlots(b, clis, 4, 'drained');
    clis.open('drained');
    const ran = await Promise.all(held.map(async (id) => (await b.finished(id)).node));
    expect(ran.filter((node) => node === first.nodeId())).toHaveLength(2);
  });

  it('answer each raw request once, twice in a row too', async () => {
    const { redis, clis, a, b } = await setUp();
    const listed = async (server: TestServer): Promise<Job[]> =>
      ((await (await server.api('GET', '/v1/jobs?limit=100')).json()) as { data: Job[] }).data; // as documented
    const before = new Set((await listed(a)).map(({ id }) => id));
    const listener = new Redis(redis.url);
    onTestFinished(() => listener.disconnect());
    const answers: unknown[] = [];
    listener.on('message', (_, text: string) => {
      const message = JSON.parse(text);
      if ('success' in message) answers.push(message);
    });
    await listener.subscribe('claude:cli:responses');
    const ask = (id: string) =>
      redis.cli('PUBLISH', 'claude:cli:requests', JSON.stringify({ id, prompt: 'hello', args: ['--print'] }));

    expect(await ask('same')).toBe('2');
    expect(await ask('same')).toBe('2');
    for (let at = 0; at < 8; at += 1) await ask(`${at}`);
    await eventually(() => answers.length >= 10, PATIENCE);
    // A second answer would come from the other server's job: both lists are whole once both have
    // caught up.
    for (const server of [a, b]) {
      const list = (await listed(server)).filter(({ id }) => !before.has(id));
      expect(list.filter(({ finished }) => finished)).toHaveLength(10);
      expect(list).toHaveLength(10);
    }

    const counted = Object.groupBy(answers, (answer) => JSON.stringify(answer));
    const once = Array.from({ length: 8 }, (_, at) => [{ id: `${at}`, success: true, result: 'hello' }]);
    const twice = { id: 'same', success: true, result: 'hello' };
    expect(Object.values(counted)).toEqual(expect.arrayContaining([[twice, twice], ...once]));
    expect(answers).toHaveLength(10);
    expect(clis.spawns()).toHaveLength(10);
  });

  it('go on with a session only where it is', async () => {
    const { clis, a, b } = await setUp();
    const { id, sessionId } = await a.run({ provider: 'claude', prompt: 'first' }, 0);
    const early = await b.run({ provider: 'claude', prompt: 'before the first one has ended', sessionId });
    const opened = await b.job(id);
    const { nativeSessionId } = opened.outcome ?? {};
    expect(early).toMatchObject({ status: 'succeeded', node: opened.node, nativeSessionId });
    for (const server of [a, b]) {
      const { data } = (await (await server.api('GET', `/v1/jobs/${id}/executions`)).json()) as {
        data: object[];
      }; // the documented answer
      expect(data).toMatchObject([{ status: 'succeeded', node: opened.node, nativeSessionId }]);
    }

    for (let turn = 0; turn < 4; turn += 1) {
      const job = await (turn % 2 === 0 ? b : a).run({
        provider: 'claude',
        prompt: `turn ${turn}`,
        sessionId,
      });
      expect(job).toMatchObject({ status: 'succeeded', node: opened.node });
      expect(job.outcome).toMatchObject({ sessionId, nativeSessionId });
    }
    expect(clis.spawns().map((marker) => marker.split('/')[0])).toEqual(Array(6).fill(opened.node));
  });

  it('end the idle process of a session that is closed or deleted through the other one', async () => {
    const host = hosts(await breakableRedis(), await fakeClis(), { BULLPEN_WARM_PROCESSES: '2' });
    const first = host();
    const clients = (await Promise.all([first.start(), host().start()])).map(createClient);
    const [a, b] = clients as [Client, Client]; // of both servers
    async function idleSession() {
      const { id } = await a.sessions.create({ provider: 'claude', prompt: 'first' });
      const { node } = await a.sessions.get(id, { waitMs: 30_000 });
      const [own, other] = node === first.nodeId() ? [a, b] : [b, a];
      const { pid } = await eventually(async () => (await own.sessions.get(id)).process, PATIENCE);
      return { id, other, pid };
    }
    const [closed, deleted] = await Promise.all([idleSession(), idleSession()]);
    const pids = [closed.pid, deleted.pid];
    expect(pids.map(isAlive)).toEqual([true, true]);
    await closed.other.sessions.close(closed.id);
    await deleted.other.sessions.remove(deleted.id);
    await eventually(() => !pids.some(isAlive), PATIENCE);
  });

  it('cannot use one data folder: the second one says so and leaves', async () => {
    const { first, a } = await setUp();

    const failure = await first.start().then(
      () => 'it started',
      (error: unknown) => String(error),
    );

    expect(failure).toContain('ended with 78');
    expect(failure).toMatch(/bullpen: another Bullpen server \(pid \d+, since .*\) uses the data folder/);
    expect(await a.run({ prompt: 'still here' })).toMatchObject({ status: 'succeeded', attempts: 1 });
  });

  it('keep out a third one while a server of an earlier version runs', async () => {
    const { redis, host, a } = await setUp();
    const third = host();
    const earlier = new Redis(redis.url);
    onTestFinished(() => earlier.disconnect());
    await earlier.zadd('{bullpen}:nodes', String(Date.now()), 'the-earlier-one');

    const failure = await third.start().then(
      () => 'it started',
      (error: unknown) => String(error),
    );

    expect(failure).toContain('ended with 78');
    expect(failure).toContain('bullpen: the server the-earlier-one uses this Redis with an earlier version');
    expect(readdirSync(join(third.dir, 'data'))).not.toContain('ledger.db');
    expect(await earlier.zscore('{bullpen}:nodes', third.nodeId())).toBeNull();
    await earlier.zrem('{bullpen}:nodes', 'the-earlier-one');
    expect(await a.run({ prompt: 'still here' })).toMatchObject({ status: 'succeeded', attempts: 1 });
  });

  it('lose nothing when one of them is stopped in order', async () => {
    const { clis, first, second, a, b } = await setUp(); // the last test with both
    const held = await fillSlots(a, clis, 4, 'gate');
    const queued: string[] = [];
    for (let at = 0; at < 6; at += 1) queued.push(await accepted(a, { prompt: `${at}` }));

    const stopped = a.kill('SIGTERM');
    await eventually(async () => (await a.api('GET', '/v1/jobs')).status === 503, PATIENCE);
    clis.open('gate');
    expect(await stopped).toEqual({ code: 0, signal: null });

    for (const id of [...held, ...queued]) {
      const job = await b.finished(id);
      expect(job).toMatchObject({ status: 'succeeded', attempts: 1 });
      await expectOneExecution(b, clis, job);
    }
    const nodes = (await Promise.all(held.map((id) => b.job(id)))).map(({ node }) => node);
    expect(new Set(nodes)).toEqual(new Set([first.nodeId(), second.nodeId()]));
    expect(clis.spawns()).toHaveLength(10);
  });
});

describe('a server that starts beside another one', () => {
  it('leaves its running CLIs alone, and each runs a job only where its folder is allowed', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const host = hosts(redis, clis, { BULLPEN_CONCURRENCY: '1' });
    const [first, second] = [host(), host()];
    const own = join(first.dir, 'own');
    mkdirSync(own);
    const a = await first.start({ BULLPEN_ROOTS: own, BULLPEN_CWD: own });
    const [running = ''] = await fillSlots(a, clis, 1, 'gate');

    const b = await second.start();

    await eventually(() => expect(b.log()).toContain('"killedProcesses":0'), PATIENCE);
    expect(clis.pids().filter(isAlive)).toHaveLength(1);
    const id = await accepted(a, { provider: 'echo', prompt: 'mine' });
    // The one that may not run it has room for it and takes what is its own.
    expect(await b.run({ provider: 'echo', prompt: 'yours' })).toMatchObject({ node: second.nodeId() });
    clis.open('gate');
    expect(await b.finished(running)).toMatchObject({ status: 'succeeded', attempts: 1 });
    const job = await b.finished(id);
    expect(job).toMatchObject({ status: 'succeeded', node: first.nodeId(), outcome: { text: 'mine' } });
  });
});

describe('a server that is killed beside another one', () => {
  it('has its jobs ended as lost or tried again by the other one, and learns of it when it is back', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const host = hosts(redis, clis, { ...SHORT_LEASES, BULLPEN_RETRY_BACKOFF_MS: '50' });
    const [first, second] = [host(), host()];
    const a = await first.start();
    const prompt = fakePrompt([
      { delta: 'half' },
      { spawn: { setsid: true } },
      { waitFor: clis.latch('never') },
    ]);
    const id = await accepted(a, { prompt, autoContinue: false });
    const [left] = await eventually(() => {
      const spawned = journalOf(clis.journal, 'spawned');
      return spawned.length === 1 && spawned;
    }, PATIENCE);
    const spared = [...clis.pids(), left?.child ?? 0];
    const retry = { maxAttempts: 2, mode: 'restart' };
    const again = await accepted(a, { prompt: clis.held('gate', 'again'), retry });
    await eventually(() => clis.prompted() === 2, PATIENCE);
    const b = await second.start();

    await killAllBut(spared, a);
    clis.open('gate');
    const job = await b.finished(id);

    expect(job).toMatchObject({
      status: 'failed',
      node: first.nodeId(),
      attempts: 1,
      outcome: { error: { code: 'execution.lost', retryable: true } },
    });
    expect(await b.finished(again)).toMatchObject({
      status: 'succeeded',
      node: second.nodeId(),
      attempts: 2,
      outcome: { text: 'again' },
    });
    expect(clis.spawns()).toHaveLength(3);
    expect(spared.filter(isAlive)).toEqual(spared); // no launcher was left to kill them …
    const returned = await first.start();
    expect(spared.filter(isAlive)).toEqual([]); // … but the next start
    await eventually(() => {
      expect(returned.log()).toMatch(/"recovery":\{"killedProcesses":2,"lost":2/);
    }, PATIENCE);
    await eventually(() => returned.log().includes('an outcome came too late and was refused'), PATIENCE);
    expect(await returned.job(id)).toEqual(job);
    await expectOneExecution(returned, clis, job);
    expect(await returned.run({ provider: 'echo', prompt: 'next' })).toMatchObject({ status: 'succeeded' });
  });
});
