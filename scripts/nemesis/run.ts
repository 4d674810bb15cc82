/** One run: warm-up, faults, quiet, checks. */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../src/errors.ts';
import { fakePrompt } from '../../tests/helpers/fake-cli.ts';
import { type Api, createApi } from './api.ts';
import { type Clients, createClients } from './clients.ts';
import { collect, type Evidence, leftInSets } from './evidence.ts';
import { createFaults, type Faults } from './faults.ts';
import { findGrowth, type Use } from './growth.ts';
import { findViolations, type Violation } from './invariants.ts';
import { findLeftovers, findZombies, measureUse } from './machine.ts';
import { makePlan, type Plan, type PlannedAction } from './plan.ts';
import { type System, startSystem } from './system.ts';

/** Jobs before and after the faults, so that memory is compared after the same work. */
const WARM_UP_JOBS = 20;
/**
 * The run gives up when nothing at all goes on for so long. How long it takes in all depends on the
 * machine.
 */
const STANDSTILL_MS = 120_000;
const LOOK_EVERY_MS = 250;
/** A fault that lasts over so many looks is no delay. */
const LOOKS = 5;
const BETWEEN_LOOKS_MS = 3000;

export interface RunOptions {
  readonly seed: number;
  readonly durationMs: number;
  readonly servers: number;
  /** An empty folder; the caller deletes it. */
  readonly dir: string;
  readonly log: (line: string) => void;
}

export interface RunResult {
  readonly plan: Plan;
  readonly violations: readonly Violation[];
  readonly evidence: Evidence;
  readonly faults: Faults['done'];
  readonly answers: Api['counts'];
  readonly slowestAnswerMs: number;
  readonly starts: number;
  readonly longestOutageMs: number;
  readonly use: {
    readonly before: readonly Use[];
    readonly survived: readonly Use[];
    readonly after: readonly Use[];
  };
}

export async function run({ seed, durationMs, servers: count, dir, log }: RunOptions): Promise<RunResult> {
  const plan = makePlan({ seed, durationMs, servers: count });
  const system = await startSystem(dir, count);
  const { servers } = system;
  try {
    const api = createApi();
    const faults = createFaults(system, api);
    const giveUp = new AbortController();
    const clients = createClients(servers, api, giveUp.signal);
    /** Jobs that are known to have ended. */
    const ended = new Set<string>();
    const violations: Violation[] = [];
    const note = (invariant: string, whats: readonly string[]): void =>
      void violations.push(...whats.map((what) => ({ invariant, what, jobIds: [] })));

    await Promise.all(servers.map((server) => server.untilUp()));
    log('warm-up');
    await work(system, api, clients, `n${seed}-before`);
    note('everything comes to rest', await atRest(system, api, clients, ended));
    const before = measureUse(system);

    log(`faults for ${durationMs / 1000} s`);
    system.watchOutages();
    const busy = await disturb(plan, { faults, clients });

    log('quiet');
    for (const server of servers) server.expectStarts();
    await Promise.all(servers.map((server) => server.untilUp()));
    const unsettled = await settled(busy, giveUp);
    note('each request gets a clear answer in the end', unsettled);
    note('everything comes to rest', await atRest(system, api, clients, ended));
    const survived = measureUse(system);
    const longestOutageMs = system.longestOutageMs();

    log('restart');
    await Promise.all(servers.map((server) => server.end('SIGTERM', 0)));
    await Promise.all(servers.map((server) => server.untilUp()));
    await work(system, api, clients, `n${seed}-after`);
    note('everything comes to rest', await atRest(system, api, clients, ended));
    const after = measureUse(system);

    log('checks');
    const jobs = clients.sent.flatMap(({ requests }) => requests).length;
    violations.push(
      ...findGrowth(before, survived, jobs - 2 * WARM_UP_JOBS),
      ...findGrowth(before, after, jobs - WARM_UP_JOBS),
      ...(await lasting(() => findZombies(system))),
    );
    const { evidence, broken } = await examine(system, api, clients);
    violations.push(...broken);
    note('answers are the documented ones', [...api.wrong, ...clients.wrong]);
    const exits = await Promise.all(servers.map((server) => server.stop()));
    for (const [index, code] of exits.entries())
      if (code !== 0) note('servers end as they are asked to', [`server ${index + 1} ended with ${code}`]);
    for (const server of servers) note('servers end as they are asked to', server.unexplained);
    violations.push(...(await lasting(() => findLeftovers(system))));
    return {
      plan,
      violations,
      evidence,
      faults: faults.done,
      answers: api.counts,
      slowestAnswerMs: api.slowestMs(),
      starts: servers.reduce((sum, server) => sum + server.starts, 0),
      longestOutageMs,
      use: { before, survived, after },
    };
  } finally {
    await system.stop();
  }
}

/**
 * The same jobs each time, all at once, and a search: its thread starts at the first use, and has
 * ten open files, which must count before the faults and after them.
 */
async function work({ servers }: System, api: Api, clients: Clients, name: string): Promise<void> {
  const jobs = Array.from({ length: WARM_UP_JOBS }, (_, at): PlannedAction => {
    const key = `${name}-${at}`;
    const request = { prompt: fakePrompt([{ deltas: { count: 20, text: 'word ' } }], key), tags: [key] };
    const once = { turns: [], repeatAfterMs: null, cancel: null, retried: false, watched: false };
    return { at: 0, key, pick: at / WARM_UP_JOBS, kind: 'job', request, ...once };
  });
  await Promise.all(jobs.map((job) => clients.act(job)));
  await Promise.all(servers.map((server) => api.ask(server, 'GET /v1/jobs', '/v1/jobs?q=word')));
}

/** Does the plan. Resolves when its last fault is over; the actions may still wait for answers. */
async function disturb(
  plan: Plan,
  { faults, clients }: { readonly faults: Faults; readonly clients: Clients },
): Promise<Promise<void>[]> {
  const begun = performance.now();
  const at = async <T>(ms: number, act: () => Promise<T>): Promise<T> => {
    await delay(Math.max(0, begun + ms - performance.now()));
    return act();
  };
  const actions = plan.actions.map((action) => at(action.at, () => clients.act(action)));
  for (const action of actions) action.catch(() => undefined); // `settled` reports it
  await Promise.all(plan.faults.map((fault) => at(fault.at, () => faults.inflict(fault))));
  await delay(Math.max(0, begun + plan.durationMs - performance.now()));
  return actions;
}

/** What is still wrong after a while: killed processes and copies of records need a moment. */
async function lasting(find: () => Violation[]): Promise<Violation[]> {
  for (let tries = 1; tries < LOOKS; tries += 1) {
    if (find().length === 0) return [];
    await delay(BETWEEN_LOOKS_MS);
  }
  return find();
}

/** The list and the ledgers are copies, which may be some seconds behind (docs/api.md). */
async function examine(system: System, api: Api, clients: Clients) {
  for (let tries = 1; ; tries += 1) {
    const evidence = await collect(system, api, clients);
    const broken = findViolations(evidence);
    if (broken.length === 0 || tries === LOOKS) return { evidence, broken };
    await delay(BETWEEN_LOOKS_MS);
  }
}

/** Waits until each action has its clear answers. Returns what did not get them. */
async function settled(actions: readonly Promise<void>[], giveUp: AbortController): Promise<string[]> {
  let timer = setTimeout(() => giveUp.abort(), STANDSTILL_MS);
  const goesOn = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => giveUp.abort(), STANDSTILL_MS);
  };
  for (const action of actions) action.then(goesOn, goesOn);
  const results = await Promise.allSettled(actions);
  clearTimeout(timer);
  return results.flatMap((result) => (result.status === 'rejected' ? [messageOf(result.reason)] : []));
}

/**
 * Waits until each job has ended, nothing waits in Redis, no CLI is left, idle or running, and the
 * servers are ready. Returns what still goes on at a standstill.
 */
async function atRest(system: System, api: Api, clients: Clients, ended: Set<string>): Promise<string[]> {
  const ids = new Set(clients.sent.flatMap(({ answers }) => answers.flat()));
  let before = '';
  for (let since = performance.now(); performance.now() - since < STANDSTILL_MS; ) {
    const left = await goingOn(system, api, ids, ended);
    if (left.length === 0) return [];
    if (left.join() !== before) since = performance.now();
    before = left.join();
    await delay(LOOK_EVERY_MS);
  }
  return [before];
}

async function goingOn(
  system: System,
  api: Api,
  ids: ReadonlySet<string>,
  ended: Set<string>,
): Promise<string[]> {
  const { servers } = system;
  const [first] = servers;
  if (first === undefined) return [];
  for (const id of ids) {
    if (ended.has(id)) continue;
    const { status, body } = await api.ask(first, 'GET /v1/jobs/:id', `/v1/jobs/${id}`);
    const job = body as { finished?: boolean; status?: string }; // the documented answer
    if (status !== 200 || job.finished !== true)
      return [`job ${id} is ${job.status ?? status}; ${ended.size} jobs have ended`];
    ended.add(id);
  }
  const marked = servers.flatMap((server) => server.marked().map((pid) => `the CLI ${pid} runs`));
  const left = [...(await leftInSets(system)), ...marked];
  for (const server of servers) {
    const ready = await api.ask(server, 'GET /ready', '/ready');
    if (ready.status !== 200)
      left.push(`server ${server.index + 1} is not ready: ${JSON.stringify(ready.body)}`);
  }
  return left;
}
