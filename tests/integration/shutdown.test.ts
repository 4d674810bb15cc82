import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { createServer } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import { descendants, isAlive } from '../helpers/proc.ts';
import { PROGRAM } from '../helpers/program.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { tempDir } from '../helpers/temp.ts';
import {
  accepted,
  breakableRedis,
  expectHealthyLog,
  expectOneExecution,
  fakeClis,
  redisOf,
  sandboxesOf,
} from './fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const CLEAN = { code: 0, signal: null };
/** Longer than any test may take. */
const EVER_MS = String(60 * 60_000);

/** A file whose disk is always full; macOS has none. */
const FULL = '/dev/full';

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

it('SIGTERM lets running jobs end or interrupts them, keeps queued ones, and leaves no process', async () => {
  const clis = await fakeClis();
  const options = { config: clis.config, dir: tempDir() };
  const whole = (server: TestServer): readonly number[] => {
    expect(sandboxesOf(server.pid)).not.toEqual([]);
    expect(redisOf(server.pid)).toHaveLength(1);
    return [server.pid, ...descendants(server.pid)];
  };

  // It refuses new requests, and waits for what runs.
  const env = { BULLPEN_CONCURRENCY: '1', BULLPEN_WORKERS: '2', BULLPEN_DRAIN_MS: EVER_MS };
  const first = await startServer({ ...options, env });
  const ask = overOneConnection(first);
  const id = await accepted(first, { prompt: clis.held('gate', 'to the end') });
  await eventually(() => clis.prompted() === 1, PATIENCE);
  const queued: string[] = [];
  for (let at = 0; at < 3; at += 1) {
    queued.push(await accepted(first, { provider: 'echo', prompt: `queued ${at}` }));
  }
  expect(await ask('/v1/jobs')).toMatchObject({ status: 200, connection: 'keep-alive' });
  const ofFirst = whole(first);

  const stopped = first.kill('SIGTERM');
  await isStopping(first);
  const refused = await ask('/v1/jobs');

  expect(refused).toMatchObject({ status: 503, connection: 'close', reused: true });
  expect(JSON.parse(refused.body)).toMatchObject({ code: 'server.stopping', status: 503 });
  expect(await ask('/health')).toMatchObject({ status: 200, connection: 'close', reused: false });
  const logged = () =>
    first
      .log()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  // It gives back what it was given first.
  await eventually(() => logged().some(({ running, jobs }) => running === 1 && jobs.join() === id), PATIENCE);
  clis.open('gate');
  expect(await stopped).toEqual(CLEAN);
  expect(ofFirst.filter(isAlive)).toEqual([]);
  expect(logged().filter(({ msg }) => msg === 'job ended')).toEqual([
    expect.objectContaining({ level: 30, jobId: id, status: 'succeeded', provider: 'claude' }),
  ]);
  expectHealthyLog(first);
  expect(clis.spawns()).toHaveLength(1);

  // It interrupts what runs longer than the drain, also without a reader of its log.
  const short = { BULLPEN_DRAIN_MS: '300', BULLPEN_KILL_GRACE_MS: '300' };
  const second = await startServer({ ...options, env: short });
  expect(await second.job(id)).toMatchObject({ status: 'succeeded', outcome: { text: 'to the end' } });
  for (const one of [id, ...queued]) {
    const job = await second.finished(one);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1 });
    await expectOneExecution(second, clis, job);
  }
  expect(clis.spawns()).toHaveLength(4);
  expectHealthyLog(second);
  second.leaveLog();
  const unread = await second.run({ provider: 'echo', prompt: 'unread' });
  expect(unread).toMatchObject({ status: 'succeeded', outcome: { text: 'unread' } });
  const later = clis.fresh();
  const stubborn = fakePrompt([
    { ignore: ['SIGINT', 'SIGTERM'] },
    { delta: 'half' },
    { spawn: { setsid: true } },
    { waitFor: later.latch('never') },
  ]);
  const spawned = (): number[] => later.did('spawned').map(({ child }) => child);
  const left = (): number[] => [...later.pids(), ...spawned()];
  const lost = await accepted(second, { prompt: stubborn, autoContinue: false });
  await eventually(() => spawned().length === 1, PATIENCE);
  const ofSecond = whole(second);

  expect(await second.kill('SIGTERM')).toEqual(CLEAN);

  expect(left()).toHaveLength(2);
  expect([...left(), ...ofSecond].filter(isAlive)).toEqual([]);

  // It waits for nothing when it comes twice.
  const ever = { BULLPEN_DRAIN_MS: EVER_MS, BULLPEN_KILL_GRACE_MS: EVER_MS };
  const third = await startServer({ ...options, env: ever });
  const job = await third.job(lost);
  expect(job).toMatchObject({
    status: 'failed',
    outcome: { text: 'half', error: { code: 'execution.lost', retryable: true } },
  });
  expect(third.log()).toMatch(/"recovery":\{"killedProcesses":0,"lost":0/);
  await expectOneExecution(third, clis, job);
  await accepted(third, { prompt: stubborn });
  await eventually(() => spawned().length === 2, PATIENCE);
  const ofThird = whole(third);
  const killed = third.kill('SIGTERM');
  await isStopping(third);
  expect(left().filter(isAlive)).toHaveLength(2);
  process.kill(third.pid, 'SIGTERM');
  expect(await killed).toEqual(CLEAN);
  expect([...left(), ...ofThird].filter(isAlive)).toEqual([]);
  expectHealthyLog(third);
}, 240_000);

it.skipIf(!existsSync(FULL))('a server whose log cannot be written runs its jobs, and stops', async () => {
  const output = openSync(FULL, 'w');
  onTestFinished(() => closeSync(output));
  const clis = await fakeClis();
  const server = await startServer({ config: clis.config, output });
  const job = await server.run({ provider: 'echo', prompt: 'unlogged' });
  expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'unlogged' } });
  expect(await server.kill('SIGTERM')).toEqual(CLEAN);
});

it('SIGTERM ends a server whose Redis is frozen', async () => {
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

it('a program that is done leaves, whatever would keep it open', () => {
  const keepsOpen = ['--import', 'data:text/javascript,setInterval(() => {}, 1e6)'];
  const command = ['--no-warnings', ...keepsOpen, PROGRAM, '--version'];
  const { status, signal } = spawnSync(process.execPath, command, { timeout: 50_000 });
  expect({ code: status, signal }).toEqual(CLEAN);
});

it('a server that cannot have its port says so and ends, its Redis too', async () => {
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
