/**
 * What tests of faults share: a Redis to break, CLIs that write down what they did, and ways to ask
 * a server.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished } from 'vitest';
import { type Client, createClient } from '../../src/client/client.ts';
import type { Job } from '../../src/protocol/job.ts';
import type { JournalEntry } from '../fakes/fake-cli-journal.ts';
import { eventually } from '../helpers/eventually.ts';
import { entriesOf, fakePrompt, installFakeCli, journalOf, readJournal } from '../helpers/fake-cli.ts';
import { commandLine, descendants, isAlive, processesWithMarker } from '../helpers/proc.ts';
import { startTestRedis, type TestRedis } from '../helpers/redis.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { shared, whenOver } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';

/**
 * API.md: "Redis away: 503 within 2 s", and what a busy machine may add on the way there and back.
 */
export const PROMPTLY_MS = 2000 + 10_000;

/** A Redis of its own for a test or a file, and a connection to it with full rights. */
export interface BreakableRedis extends TestRedis {
  readonly admin: Redis;
}

/** Call it before `startServer`, so that it outlives the server. */
export async function breakableRedis(): Promise<BreakableRedis> {
  const redis = await startTestRedis();
  const admin = new Redis(redis.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 });
  admin.on('error', () => undefined); // it goes away on purpose
  whenOver(async () => {
    admin.disconnect();
    await redis.stop();
  });
  return { ...redis, admin };
}

/** The CLIs of a test or a file. */
export interface FakeClis {
  /** For `startServer`: `claude` is the scripted one, `echo` answers the prompt itself. */
  readonly config: { readonly providers: Readonly<Record<string, unknown>> };
  /** The journal of the scripted ones. */
  readonly journal: string;
  /** The markers of all CLIs that were started, in order: `<nodeId>/<executionId>`. */
  spawns(): string[];
  /** Pids of the scripted ones. */
  pids(): number[];
  /** How many prompts the scripted ones have read. */
  prompted(): number;
  /** What the scripted ones wrote down of one kind. */
  did<E extends JournalEntry['event']>(event: E): readonly Extract<JournalEntry, { event: E }>[];
  /** A prompt that says `text` and waits until `open(name)`, and what else it does before. */
  held(name: string, text: string): string;
  /** A file for the fake CLI's `waitFor` and `touch`. */
  latch(name: string): string;
  /** Lets what waits for `name` go on. */
  open(name: string): void;
  isOpen(name: string): boolean;
  /** For a test that shares its server: none of them counts yet, and every latch is closed. */
  fresh(): FakeClis;
}

/**
 * Call it before `startServer`. When their servers are stopped, no CLI may be alive, and none may
 * have been started twice for one execution.
 */
export async function fakeClis(): Promise<FakeClis> {
  const dir = tempDir();
  const journal = join(dir, 'journal');
  const echoed = join(dir, 'echoed');
  const binary = await installFakeCli(join(dir, 'bin'), { FAKE_JOURNAL: journal });
  const echo = join(dir, 'bin', 'echo-prompt');
  writeFileSync(echo, `#!/bin/sh\necho "$BULLPEN_EXECUTION_ID" >> '${echoed}'\nexec /bin/cat\n`);
  chmodSync(echo, 0o755);

  const starts = () => journalOf(journal, 'start');
  const prompts = () => journalOf(journal, 'prompt');
  const echoes = () => (existsSync(echoed) ? readFileSync(echoed, 'utf8').trim().split('\n') : []);
  const config = { providers: { claude: { binary }, custom: { echo: { binary: echo } } } };
  let views = 0;

  function fresh(): FakeClis {
    views += 1;
    const view = views;
    const before = {
      ...{ entries: readJournal(journal).length, echoes: echoes().length },
      ...{ starts: starts().length, prompts: prompts().length },
    };
    const latch = (name: string): string => join(dir, `latch-${view}-${name}`);
    return {
      config,
      journal,
      spawns: () => [
        ...starts()
          .slice(before.starts)
          .map(({ marker }) => marker ?? ''),
        ...echoes().slice(before.echoes),
      ],
      pids: () =>
        starts()
          .slice(before.starts)
          .map(({ pid }) => pid),
      prompted: () => prompts().length - before.prompts,
      did: (event) => entriesOf(readJournal(journal).slice(before.entries), event),
      held: (name, text) => fakePrompt([{ delta: text }, { waitFor: latch(name) }], text),
      latch,
      open: (name) => writeFileSync(latch(name), ''),
      isOpen: (name) => existsSync(latch(name)),
      fresh,
    };
  }

  const all = fresh();
  whenOver(async () => {
    expect(duplicatesIn(all.spawns()), 'executions that were spawned twice').toEqual([]);
    const nodes = new Set(all.spawns().map((marker) => marker.split('/')[0] ?? ''));
    await eventually(() => {
      expect([...nodes].flatMap((node) => processesWithMarker(`BULLPEN_EXECUTION_ID=${node}/`))).toEqual([]);
    });
  });
  return all;
}

export interface FaultBench {
  readonly redis: BreakableRedis;
  readonly clis: FakeClis;
  readonly server: TestServer;
  readonly client: Client;
}

/**
 * A server that the tests of a file share, with a Redis to break; its CLIs count from zero for each
 * test. Call it where tests are defined.
 */
export function sharedBench(
  env: Readonly<Record<string, string>> = {},
  config: Readonly<Record<string, unknown>> = {},
): () => Promise<FaultBench> {
  const bench = shared(async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const server = await startServer({
      config: { ...clis.config, ...config },
      env: { REDIS_URL: redis.url, ...env },
    });
    return { redis, clis, server };
  });
  return async () => {
    const { redis, clis, server } = await bench();
    const client = createClient({ url: server.url, token: server.token });
    return { redis, clis: clis.fresh(), server, client };
  };
}

export const duplicatesIn = (list: readonly string[]): string[] =>
  list.filter((one, at) => list.indexOf(one) !== at);

/** The markers of one job's executions. */
export const spawnsOf = (clis: FakeClis, job: Job): string[] =>
  clis.spawns().filter((marker) => marker.endsWith(`/${job.outcome?.executionId}`));

/** The pids of a server's sandboxed workers. */
export const sandboxesOf = (serverPid: number): number[] =>
  descendants(serverPid).filter((pid) => commandLine(pid)?.includes('workers/bootstrap') === true);

/** The pids of a server's private Redis. */
export const redisOf = (serverPid: number): number[] =>
  descendants(serverPid).filter((pid) => /redis-server|valkey-server/.test(commandLine(pid) ?? ''));

export interface Posted {
  readonly status: number;
  readonly contentType: string;
  readonly ms: number;
  readonly body: Record<string, unknown>;
}

/** `POST`s and measures. */
export async function post(server: TestServer, path: string, body: unknown): Promise<Posted> {
  const began = performance.now();
  const response = await server.api('POST', path, body);
  const answer = (await response.json()) as Record<string, unknown>; // a job or a problem
  const ms = performance.now() - began;
  const contentType = response.headers.get('content-type') ?? '';
  return { status: response.status, contentType, ms, body: answer };
}

/** Posts a job that must be accepted and gives its id. */
export async function accepted(server: TestServer, request: Record<string, unknown>): Promise<string> {
  const answer = await post(server, '/v1/jobs', request);
  expect(answer, 'the job was not accepted').toMatchObject({ status: 202 });
  return String(answer.body['id']);
}

/** What every answer must be while Redis is away. */
export function expectPromptRefusal(answer: Posted): void {
  expect(answer).toMatchObject({
    status: 503,
    contentType: expect.stringContaining('application/problem+json'),
    body: { code: 'redis.unavailable', status: 503 },
  });
  expect(answer.ms).toBeLessThan(PROMPTLY_MS);
}

/** Whether `GET /ready` says so. */
export const isReady = async (server: TestServer): Promise<boolean> =>
  (await server.api('GET', '/ready')).status === 200;

/** Whether the outcome of a job waits for Redis to take it. */
export const waitsInOutbox = (server: TestServer, id: string): boolean =>
  server
    .log()
    .split('\n')
    .some((line) => line.includes(id) && line.includes('an outcome waits in the outbox'));

export interface SeenEvent {
  readonly seq: number;
  readonly attempt: number;
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** All events of a job that is over. */
export async function eventsOf(server: TestServer, id: string): Promise<SeenEvent[]> {
  const response = await server.api('GET', `/v1/jobs/${id}/events`, undefined, {
    accept: 'application/x-ndjson',
  });
  expect(response.status).toBe(200);
  const lines = (await response.text()).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as SeenEvent); // the documented answer
}

/**
 * One job, one outcome, one execution, one process: as its events, its document and the CLIs tell
 * it.
 */
export async function expectOneExecution(server: TestServer, clis: FakeClis, job: Job): Promise<void> {
  const events = await eventsOf(server, job.id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  const count = (kind: string): number => events.filter((event) => event.kind === kind).length;
  expect({
    running: count('job.running'),
    started: count('execution.started'),
    ended: count('execution.finished'),
    finished: count('job.finished'),
    attempts: job.attempts,
    spawns: spawnsOf(clis, job).length,
  }).toEqual({ running: 1, started: 1, ended: 1, finished: 1, attempts: 1, spawns: 1 });
  expect(events.at(-1)).toMatchObject({ kind: 'job.finished', job: { id: job.id, status: job.status } });
}

/** A server-sent stream of a job's events that is read as it comes. */
export interface EventReader {
  readonly seen: readonly SeenEvent[];
  /** The `id` of the last event. */
  lastId(): string;
  /** Resolves when the server has ended the stream. */
  readonly ended: Promise<void>;
  leave(): Promise<void>;
}

export async function readEvents(server: TestServer, id: string, lastId?: string): Promise<EventReader> {
  const leaving = new AbortController();
  const response = await fetch(`${server.url}/v1/jobs/${id}/events`, {
    headers: {
      authorization: `Bearer ${server.token}`,
      accept: 'text/event-stream',
      ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
    },
    signal: leaving.signal,
  });
  expect(response.status).toBe(200);
  const seen: SeenEvent[] = [];
  let last = lastId ?? '';
  const take = (frame: string): void => {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(frame)?.[1];
    const data = field('data');
    if (data === undefined) return;
    last = field('id') ?? last;
    seen.push(JSON.parse(data) as SeenEvent); // the documented frame
  };
  const read = async (): Promise<void> => {
    let text = '';
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      const frames = text.split('\n\n');
      text = frames.pop() ?? '';
      frames.forEach(take);
    }
  };
  const ended = read();
  ended.catch(() => undefined); // the error reaches the code that awaits it
  const leave = async (): Promise<void> => {
    leaving.abort();
    await ended.catch(() => undefined);
  };
  onTestFinished(leave);
  return { seen, ended, leave, lastId: () => last };
}

/** Nothing in a server's log that only a fault of its own leaves there. */
export function expectHealthyLog(server: TestServer): void {
  expect(server.log()).not.toMatch(/MaxListenersExceeded|[Uu]nhandled|"level":60/);
  expect(server.log()).not.toContain('internal.error');
}

/** Kills a process of this test when the test is over, unless it is gone by then. */
export function killAtTheEnd(pid: number): void {
  onTestFinished(() => {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  });
}
