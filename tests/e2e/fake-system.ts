/**
 * A real server whose `claude` is the scripted fake, and the checks every fault must leave true.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished } from 'vitest';
import type { StoredEvent } from '../../src/protocol/event.ts';
import type { Job } from '../../src/protocol/job.ts';
import { REDIS_USER } from '../../src/redis/private/users.ts';
import { eventually } from '../helpers/eventually.ts';
import { createFailpoints, type Failpoints } from '../helpers/failpoints.ts';
import { fakePrompt, installFakeCli, journalOf } from '../helpers/fake-cli.ts';
import { commandLine, descendants, isAlive, processesWithMarker } from '../helpers/proc.ts';
import { launchServer, type TestServer } from '../helpers/server.ts';
import { sharedFromStart, whenOver } from '../helpers/shared.ts';
import { makeTempDir, removeDir } from '../helpers/temp.ts';

/** Short periods, so that what is only found by looking again is found soon. */
export const QUICK = {
  BULLPEN_SWEEP_MS: '200',
  BULLPEN_LOCK_MS: '1000',
  BULLPEN_LEASE_MS: '1000',
  BULLPEN_RETRY_BACKOFF_MS: '10',
  BULLPEN_KILL_GRACE_MS: '500',
};
/** For what a noisy machine may delay. */
export const PATIENCE = { timeoutMs: 30_000 };

export interface FakeSystemOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** More settings of the file. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface FakeSystem {
  /** The server that runs now. */
  readonly server: TestServer;
  /** A path in the system's own folder that nothing uses yet: for barriers. */
  newFile(name: string): string;
  /**
   * Starts a server again in the same folder, after the last one has gone. Nothing is held at a
   * failpoint any more.
   * @param env more variables, over those it had
   */
  restart(env?: Readonly<Record<string, string>>): Promise<TestServer>;
  /** Makes a job and gives back its id at once. */
  submit(request: Record<string, unknown> & { prompt: string }): Promise<string>;
  /** Executions that were spawned, as the CLI itself recorded them: its marker per start. */
  spawns(): string[];
  /** Those of them that belong to a job, by its events: an execution id per start. */
  spawnsOf(events: readonly StoredEvent[]): string[];
  /** The inputs of all calls that the fake CLIs were allowed to make. */
  calls(): unknown[];
  /** Pids of all processes that the fake CLIs have started. */
  children(): number[];
  /** Signals that the fake CLIs have got, in order. */
  signals(): string[];
  /** The sandboxed worker processes of the server. */
  workers(): number[];
  /** Processes that carry this node's marker. */
  marked(): number[];
  /** A connection to the server's Redis with all rights, closed after the test. */
  redis(): Redis;
  readonly failpoints: Failpoints;
}

/** A system for every test of the block that calls this. */
export const sharedFakeSystem = (options: FakeSystemOptions = {}): (() => FakeSystem) =>
  sharedFromStart(() => startFakeSystem(options));

async function startFakeSystem(options: FakeSystemOptions): Promise<FakeSystem> {
  const dir = makeTempDir();
  const journal = join(dir, 'journal.jsonl');
  const failpointsDir = makeTempDir();
  const failpoints = createFailpoints(failpointsDir);
  const binary = await installFakeCli(join(dir, 'bin'), { FAKE_JOURNAL: journal });
  const launch = (env: Readonly<Record<string, string>>): Promise<TestServer> =>
    launchServer({
      dir,
      config: { providers: { claude: { binary } }, ...options.config },
      env: { ...QUICK, BULLPEN_TEST_FAILPOINTS: failpointsDir, ...options.env, ...env },
    });
  let server = await launch({});
  // One worker process is up and free, so that the test's job does not have another one started.
  await eventually(async () => (await server.api('GET', '/ready')).ok, PATIENCE);
  const nodeId = readFileSync(join(server.home, 'node-id'), 'utf8').trim();
  let files = 0;

  const system: FakeSystem = {
    get server() {
      return server;
    },
    newFile(name) {
      files += 1;
      return join(dir, `${files}-${name}`);
    },
    async restart(env = {}) {
      failpoints.clear();
      server = await launch(env);
      return server;
    },
    submit: async (request) => (await server.run(request, 0)).id,
    spawns: () => journalOf(journal, 'start').map(({ marker }) => marker ?? expect.unreachable('no marker')),
    spawnsOf(events) {
      const executions = events.flatMap((event) => (event.kind === 'job.running' ? [event.executionId] : []));
      return executions.filter((id) => system.spawns().includes(`${nodeId}/${id}`));
    },
    calls: () => journalOf(journal, 'tool').map(({ input }) => input),
    children: () => journalOf(journal, 'spawned').map(({ child }) => child),
    signals: () => journalOf(journal, 'signal').map(({ signal }) => signal),
    workers: () =>
      descendants(server.pid).filter((pid) => commandLine(pid)?.includes('workers/bootstrap') === true),
    marked: () => processesWithMarker(`BULLPEN_EXECUTION_ID=${nodeId}/`),
    redis() {
      const password = readFileSync(join(server.home, 'redis', 'password'), 'utf8').trim();
      const redis = new Redis({ port: server.redisPort ?? 0, username: REDIS_USER, password });
      onTestFinished(() => redis.disconnect());
      return redis;
    },
    failpoints,
  };
  whenOver(async () => {
    // A test that failed half-way must not leave the server waiting.
    removeDir(failpointsDir);
    await server.stop();
    removeDir(dir);
  });
  return system;
}

/** Waits for a barrier file of the fake CLI. */
export const reached = (file: string): Promise<true> =>
  eventually(() => existsSync(file) || null, PATIENCE) as Promise<true>; // null is waited out

/** A prompt that says a word, leaves its group, reports that it streams, and ends when it may. */
export function gated(system: FakeSystem) {
  const [streaming, go] = [system.newFile('streaming'), system.newFile('go')];
  return {
    prompt: fakePrompt([
      { delta: 'partial' },
      { spawn: { setsid: true } },
      { touch: streaming },
      { waitFor: go },
    ]),
    streams: () => reached(streaming),
    letGo: () => writeFileSync(go, ''),
  };
}

/** Kills the server; its workers end by themselves. */
export async function killMain(system: FakeSystem): Promise<void> {
  const workers = system.workers();
  await system.server.kill('SIGKILL');
  await eventually(() => expect(workers.filter(isAlive)).toEqual([]), PATIENCE);
}

/** Every event of a finished job, in order, including those of unknown lines. */
export async function eventsOf(server: TestServer, id: string): Promise<StoredEvent[]> {
  const headers = { accept: 'application/x-ndjson' };
  const response = await server.api('GET', `/v1/jobs/${id}/events?raw=true`, undefined, headers);
  expect(response.status).toBe(200);
  const lines = (await response.text()).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as StoredEvent); // the documented events
}

/**
 * A job has ended once and for good: one last event, and events that are numbered from 1 without a
 * gap.
 */
export async function expectEndedOnce(server: TestServer, job: Job): Promise<StoredEvent[]> {
  const events = await eventsOf(server, job.id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  expect(events.filter(({ kind }) => kind === 'job.finished')).toHaveLength(1);
  expect(events.at(-1)).toMatchObject({ kind: 'job.finished', job: { id: job.id, status: job.status } });
  const attempts = events.filter(({ kind }) => kind === 'job.running').length;
  expect(events.filter(({ kind }) => kind === 'execution.finished')).toHaveLength(attempts);
  expect(job.attempts).toBe(attempts);
  expect(await server.job(job.id)).toEqual(job);
  return events;
}

/**
 * What must hold after every fault: no execution spawned twice, nothing left over, every slot free
 * again.
 */
export async function expectWhole(system: FakeSystem): Promise<void> {
  await eventually(() => expect(system.marked()).toEqual([]), PATIENCE);
  const before = system.spawns();
  expect(new Set(before).size).toBe(before.length);
  const next = await system.server.run({ prompt: 'next', timeoutMs: 60_000 }, 60);
  expect(next).toMatchObject({ status: 'succeeded', outcome: { text: 'fake: next' } });
  await eventually(async () => {
    const health = await system.server.api('GET', '/claude-cli/health');
    expect(await health.json()).toMatchObject({ status: 'healthy', running: 0, pendingRequests: 0 });
  }, PATIENCE);
}
