import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt, journalOf } from '../helpers/fake-cli.ts';
import { descendants, isAlive } from '../helpers/proc.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
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

async function twoServers(env: Readonly<Record<string, string>> = {}) {
  const redis = await breakableRedis();
  const clis = await fakeClis();
  const host = hosts(redis, clis, env);
  const [first, second] = [host(), host()];
  const [a, b] = await Promise.all([first.start(), second.start()]);
  return { redis, clis, first, second, a, b };
}

/** Jobs that wait for `gate`, one for each slot of both servers. */
async function fillSlots(server: TestServer, clis: FakeClis, slots: number, gate: string): Promise<string[]> {
  const ids: string[] = [];
  for (let slot = 0; slot < slots; slot += 1) {
    ids.push(await accepted(server, { prompt: clis.held(gate, `held ${slot}`) }));
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

describe('two servers with one Redis', () => {
  it('share the jobs, run each once, and both tell of all', async () => {
    const { clis, first, second, a, b } = await twoServers({ BULLPEN_CONCURRENCY: '2' });
    const held = await fillSlots(a, clis, 4, 'gate');
    const onFirst = (await Promise.all(held.map((id) => b.job(id)))).find(
      ({ node }) => node === first.nodeId(),
    );
    const watched = await readEvents(b, onFirst?.id ?? ''); // from the server that does not run it
    await eventually(() => watched.seen.some(({ kind }) => kind === 'text.delta'), PATIENCE);
    const ids = [...held];
    for (let at = 0; at < 36; at += 1) {
      ids.push(await accepted(at % 2 === 0 ? a : b, { provider: 'echo', prompt: `job ${at}` }));
    }
    clis.open('gate');

    const jobs: Job[] = [];
    for (const id of ids) jobs.push(await a.finished(id));

    expect(jobs.filter(({ status }) => status !== 'succeeded')).toEqual([]);
    expect(duplicatesIn(clis.spawns())).toEqual([]);
    expect(clis.spawns()).toHaveLength(40);
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
  }, 120_000);

  it('leave each other’s running CLIs alone when one starts', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const host = hosts(redis, clis);
    const a = await host().start();
    const [id = ''] = await fillSlots(a, clis, 1, 'gate');
    const running = clis.pids();

    const b = await host().start();

    await eventually(() => expect(b.log()).toContain('"killedProcesses":0'), PATIENCE);
    expect(running.filter(isAlive)).toEqual(running);
    clis.open('gate');
    expect(await b.finished(id)).toMatchObject({ status: 'succeeded', attempts: 1 });
  });

  it('cannot use one data folder: the second one says so and leaves', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const host = hosts(redis, clis)();
    const a = await host.start();
    const [id = ''] = await fillSlots(a, clis, 1, 'gate');

    const failure = await host.start().then(
      () => 'it started',
      (error: unknown) => String(error),
    );

    expect(failure).toContain('ended with 78');
    expect(failure).toMatch(/bullpen: another Bullpen server \(pid \d+, since .*\) uses the data folder/);
    clis.open('gate');
    expect(await a.finished(id)).toMatchObject({ status: 'succeeded', attempts: 1 });
  });

  it('lose nothing when one of them is stopped in order', async () => {
    const { clis, first, second, a, b } = await twoServers({ BULLPEN_CONCURRENCY: '2' });
    const held = await fillSlots(a, clis, 4, 'gate');
    const queued: string[] = [];
    for (let at = 0; at < 12; at += 1) queued.push(await accepted(a, { provider: 'echo', prompt: `${at}` }));

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
    expect(clis.spawns()).toHaveLength(16);
  });

  it('answer each raw request once, twice in a row too', async () => {
    const { redis, clis, a, b } = await twoServers({
      BULLPEN_RAW_REQUESTS: 'on',
      BULLPEN_PROVIDER: 'echo',
    });
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
      const list = (await (await server.api('GET', '/v1/jobs?limit=100')).json()) as { data: Job[] };
      expect(list.data.filter(({ finished }) => finished)).toHaveLength(10);
      expect(list.data).toHaveLength(10);
    }

    const counted = Object.groupBy(answers, (answer) => JSON.stringify(answer));
    const once = Array.from({ length: 8 }, (_, at) => [{ id: `${at}`, success: true, result: 'hello' }]);
    const twice = { id: 'same', success: true, result: 'hello' };
    expect(Object.values(counted)).toEqual(expect.arrayContaining([[twice, twice], ...once]));
    expect(answers).toHaveLength(10);
    expect(clis.spawns()).toHaveLength(10);
  });

  it('run a job only where its folder is allowed', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const host = hosts(redis, clis, { BULLPEN_CONCURRENCY: '1' });
    const [first, second] = [host(), host()];
    const own = join(first.dir, 'own');
    mkdirSync(own);
    const a = await first.start({ BULLPEN_ROOTS: own, BULLPEN_CWD: own });
    await fillSlots(a, clis, 1, 'gate');
    const b = await second.start();

    const id = await accepted(a, { provider: 'echo', prompt: 'mine' });
    // The one that may not run it has room for it and takes what is its own.
    expect(await b.run({ provider: 'echo', prompt: 'yours' })).toMatchObject({ node: second.nodeId() });
    clis.open('gate');
    const job = await b.finished(id);

    expect(job).toMatchObject({ status: 'succeeded', node: first.nodeId(), outcome: { text: 'mine' } });
  });

  it('go on with a session only where it is', async () => {
    const { clis, a, b } = await twoServers();
    const opened = await a.run({ prompt: 'first' });
    const { sessionId, nativeSessionId } = opened.outcome ?? {};

    for (let turn = 0; turn < 6; turn += 1) {
      const job = await (turn % 2 === 0 ? b : a).run({ prompt: `turn ${turn}`, sessionId });
      expect(job).toMatchObject({ status: 'succeeded', node: opened.node });
      expect(job.outcome).toMatchObject({ sessionId, nativeSessionId });
    }
    expect(clis.spawns().map((marker) => marker.split('/')[0])).toEqual(Array(7).fill(opened.node));
  });
});

describe('a server that is killed beside another one', () => {
  it('has its jobs ended as lost, and learns of it when it comes back', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const host = hosts(redis, clis, SHORT_LEASES);
    const [first, second] = [host(), host()];
    const a = await first.start();
    const prompt = fakePrompt([
      { delta: 'half' },
      { spawn: { setsid: true } },
      { waitFor: clis.latch('never') },
    ]);
    const id = await accepted(a, { prompt });
    const [left] = await eventually(() => {
      const spawned = journalOf(clis.journal, 'spawned');
      return spawned.length === 1 && spawned;
    }, PATIENCE);
    const b = await second.start();

    const clisOfA = [...clis.pids(), left?.child ?? 0];
    await killAllBut(clisOfA, a);
    const job = await b.finished(id);

    expect(job).toMatchObject({
      status: 'failed',
      node: first.nodeId(),
      attempts: 1,
      outcome: { error: { code: 'execution.lost', retryable: true } },
    });
    expect(clisOfA.filter(isAlive)).toEqual(clisOfA); // no launcher was left to kill them …
    const again = await first.start();
    expect(clisOfA.filter(isAlive)).toEqual([]); // … but the next start
    await eventually(() => {
      expect(again.log()).toMatch(/"recovery":\{"killedProcesses":2,"lost":1/);
    }, PATIENCE);
    await eventually(() => again.log().includes('an outcome came too late and was refused'), PATIENCE);
    expect(await again.job(id)).toEqual(job);
    await expectOneExecution(again, clis, job);
    expect(await again.run({ provider: 'echo', prompt: 'next' })).toMatchObject({ status: 'succeeded' });
  });

  it('has them tried again by the other one, where the caller asked for retries', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const host = hosts(redis, clis, { ...SHORT_LEASES, BULLPEN_RETRY_BACKOFF_MS: '50' });
    const first = host();
    const a = await first.start();
    const id = await accepted(a, { prompt: clis.held('gate', 'again'), retry: { maxAttempts: 2 } });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const b = await host().start();

    await a.kill('SIGKILL');
    clis.open('gate');
    const job = await b.finished(id);

    expect(job).toMatchObject({ status: 'succeeded', attempts: 2, outcome: { text: 'again' } });
    expect(job.node).not.toBe(first.nodeId());
    expect(clis.spawns()).toHaveLength(2);
  });
});
