import { Agent, type IncomingMessage, request } from 'node:http';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt, journalOf } from '../helpers/fake-cli.ts';
import { commandLine, descendants, isAlive } from '../helpers/proc.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { tempDir } from '../helpers/temp.ts';
import {
  accepted,
  breakableRedis,
  expectHealthyLog,
  expectOneExecution,
  fakeClis,
  sandboxesOf,
} from './fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const CLEAN = { code: 0, signal: null };
/** Longer than any test may take. */
const EVER_MS = String(60 * 60_000);

interface Answer {
  readonly status: number | undefined;
  readonly connection: string | undefined;
  /** Whether it came over a connection that an earlier request had opened. */
  readonly reused: boolean;
  readonly body: string;
}

/** One request after the other over one connection that is kept alive. */
function overOneConnection(server: TestServer) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  return async (path: string): Promise<Answer> => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const headers = { authorization: `Bearer ${server.token}` };
    const asked = request(`${server.url}${path}`, { agent, headers }, resolve);
    asked.once('error', reject).end();
    const response = await promise;
    let body = '';
    for await (const chunk of response.setEncoding('utf8')) body += chunk;
    const { statusCode: status, headers: answered } = response;
    return { status, connection: answered.connection, reused: asked.reusedSocket, body };
  };
}

const isStopping = (server: TestServer) =>
  eventually(async () => (await server.api('GET', '/v1/jobs')).status === 503, PATIENCE);
const redisOf = (server: TestServer): number[] =>
  descendants(server.pid).filter((pid) => /redis-server|valkey-server/.test(commandLine(pid) ?? ''));

describe('SIGTERM', () => {
  it('refuses new requests, lets running jobs end, keeps queued ones, and leaves with 0', async () => {
    const clis = await fakeClis();
    const env = { BULLPEN_CONCURRENCY: '1', BULLPEN_WORKERS: '2', BULLPEN_DRAIN_MS: EVER_MS };
    const options = { config: clis.config, env, dir: tempDir() };
    const server = await startServer(options);
    const ask = overOneConnection(server);
    const id = await accepted(server, { prompt: clis.held('gate', 'to the end') });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const queued: string[] = [];
    for (let at = 0; at < 3; at += 1) {
      queued.push(await accepted(server, { provider: 'echo', prompt: `queued ${at}` }));
    }
    expect(await ask('/v1/jobs')).toMatchObject({ status: 200, connection: 'keep-alive' });

    const stopped = server.kill('SIGTERM');
    await isStopping(server);
    const refused = await ask('/v1/jobs');

    expect(refused).toMatchObject({ status: 503, connection: 'close', reused: true });
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'server.stopping', status: 503 });
    expect(await ask('/health')).toMatchObject({ status: 200, connection: 'close', reused: false });
    const logged = () =>
      server
        .log()
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    // It gives back what it was given first.
    await eventually(
      () => logged().some(({ running, jobs }) => running === 1 && jobs.join() === id),
      PATIENCE,
    );
    clis.open('gate');
    expect(await stopped).toEqual(CLEAN);
    expect(logged().filter(({ msg }) => msg === 'job ended')).toEqual([
      expect.objectContaining({ level: 30, jobId: id, status: 'succeeded', provider: 'claude' }),
    ]);
    expectHealthyLog(server);
    expect(clis.spawns()).toHaveLength(1);
    const again = await startServer(options);
    expect(await again.job(id)).toMatchObject({ status: 'succeeded', outcome: { text: 'to the end' } });
    for (const one of [id, ...queued]) {
      const job = await again.finished(one);
      expect(job).toMatchObject({ status: 'succeeded', attempts: 1 });
      await expectOneExecution(again, clis, job);
    }
    expect(clis.spawns()).toHaveLength(4);
  });

  it('interrupts what runs longer than the drain, and waits for nothing when it comes twice', async () => {
    const clis = await fakeClis();
    const options = { config: clis.config, dir: tempDir() };
    const env = { BULLPEN_DRAIN_MS: '300', BULLPEN_KILL_GRACE_MS: '300' };
    const server = await startServer({ ...options, env });
    const stubborn = fakePrompt([
      { ignore: ['SIGINT', 'SIGTERM'] },
      { delta: 'half' },
      { spawn: { setsid: true } },
      { waitFor: clis.latch('never') },
    ]);
    const spawned = (): number[] => journalOf(clis.journal, 'spawned').map(({ child }) => child);
    const id = await accepted(server, { prompt: stubborn, autoContinue: false });
    await eventually(() => spawned().length === 1, PATIENCE);

    expect(await server.kill('SIGTERM')).toEqual(CLEAN);

    const left = (): number[] => [...clis.pids(), ...spawned()];
    expect(left()).toHaveLength(2);
    expect(left().filter(isAlive)).toEqual([]);
    const ever = { BULLPEN_DRAIN_MS: EVER_MS, BULLPEN_KILL_GRACE_MS: EVER_MS };
    const again = await startServer({ ...options, env: ever });
    const job = await again.job(id);
    expect(job).toMatchObject({
      status: 'failed',
      outcome: { text: 'half', error: { code: 'execution.lost', retryable: true } },
    });
    expect(again.log()).toMatch(/"recovery":\{"killedProcesses":0,"lost":0/);
    await expectOneExecution(again, clis, job);

    await accepted(again, { prompt: stubborn });
    await eventually(() => spawned().length === 2, PATIENCE);
    const stopped = again.kill('SIGTERM');
    await isStopping(again);
    expect(left().filter(isAlive)).toHaveLength(2);
    process.kill(again.pid, 'SIGTERM');
    expect(await stopped).toEqual(CLEAN);
    expect(left().filter(isAlive)).toEqual([]);
  });

  it('ends a server whose Redis is gone, with all its processes', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const env = { REDIS_URL: redis.url, BULLPEN_DRAIN_MS: '300', BULLPEN_KILL_GRACE_MS: '300' };
    const server = await startServer({ config: clis.config, env });
    await accepted(server, { prompt: clis.held('never', 'half') });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const below = descendants(server.pid);
    await redis.kill();

    expect(await server.kill('SIGTERM')).toEqual(CLEAN);

    expect(below.length).toBeGreaterThan(0);
    expect(below.filter(isAlive)).toEqual([]);
    expect(server.log()).not.toContain('a part did not stop cleanly');
  });

  it('ends a server whose Redis is frozen', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const server = await startServer({ config: clis.config, env: { REDIS_URL: redis.url } });
    await server.run({ provider: 'echo', prompt: 'one' });
    const below = descendants(server.pid);

    await redis.pause();
    try {
      expect(await server.kill('SIGTERM')).toEqual(CLEAN);
    } finally {
      await redis.resume();
    }

    expect(below.filter(isAlive)).toEqual([]);
    expect(server.log()).not.toContain('a part did not stop cleanly');
  });
});

describe('a server', () => {
  it('that is killed leaves no process: no Redis, no launcher, no worker and no CLI', async () => {
    const clis = await fakeClis();
    const server = await startServer({ config: clis.config });
    await accepted(server, { prompt: clis.held('never', 'half') });
    await eventually(() => clis.prompted() === 1, PATIENCE);
    const below = descendants(server.pid);
    expect(redisOf(server)).toHaveLength(1);
    expect(sandboxesOf(server.pid)).not.toEqual([]);
    expect(below).toEqual(expect.arrayContaining(clis.pids()));

    await server.kill('SIGKILL');

    await eventually(() => expect(below.filter(isAlive)).toEqual([]), PATIENCE);
  });

  it('that is started and stopped again, also without a reader of its log, leaves no process', async () => {
    const clis = await fakeClis();
    const options = { config: clis.config, dir: tempDir() };
    const seen: number[] = [];
    for (const reader of ['stays', 'leaves']) {
      const server = await startServer(options);
      if (reader === 'leaves') server.leaveLog();
      for (const prompt of [`${reader} 1`, `${reader} 2`]) {
        const job = await server.run({ provider: 'echo', prompt });
        expect(job).toMatchObject({ status: 'succeeded', outcome: { text: prompt } });
      }
      expect(sandboxesOf(server.pid)).not.toEqual([]);
      expect(redisOf(server)).toHaveLength(1);
      seen.push(server.pid, ...descendants(server.pid));

      expect(await server.kill('SIGTERM')).toEqual(CLEAN);

      expect(seen.filter(isAlive)).toEqual([]);
      expectHealthyLog(server);
    }
  });

  it('that cannot have its port says so and ends, its Redis too', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    onTestFinished(() => {
      taken.close();
    });
    const address = taken.address();
    if (address === null || typeof address === 'string') throw new Error('no port');

    const failure = await startServer({ env: { BULLPEN_PORT: String(address.port) } }).then(
      () => 'it started',
      (error: unknown) => String(error),
    );

    expect(failure).toContain('ended with 78');
    expect(failure).toContain('private Redis stopped');
    const line = `bullpen: port ${address.port} of 127.0.0.1 is in use; BULLPEN_PORT names another one, 0 takes any that is free\n`;
    expect(failure.slice(failure.indexOf('bullpen: port'))).toBe(line); // and no stack
  }, 120_000);
});
