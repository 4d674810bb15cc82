/** Random sequences of steps for the records and their model. A seed gives the same one always. */
import type { ErrorCode } from '../../../src/errors.ts';
import type { Gates, HeldGate } from '../../../src/records/gate-records.ts';
import type { Claim, Claims, JobRecords, NewJob, TimedEvent } from '../../../src/records/ports.ts';
import { scoreOf } from '../../../src/records/record-codec.ts';
import type { Upkeep } from '../../../src/records/upkeep-ports.ts';
import type { TestRecords } from '../../helpers/redis-records.ts';
import { resolvedPrompt } from '../../unit/providers/resolved-prompt.ts';
import {
  begun,
  CANCELLED,
  CREATED_AT,
  failed,
  LOST,
  REVOKED,
  succeeded,
  text,
  UNAVAILABLE,
} from './samples.ts';

const NODES = ['n1', 'n2'];
const GATES: readonly HeldGate[] = [
  ...(['queue', 'node:n1', 'node:n2'] as const),
  ...(['project:other', 'provider:claude', 'provider:narrow'] as const),
];
const KEYS = [null, 'k', 'k', 'l'];
const PROVIDERS = ['claude', 'claude', 'narrow', 'wide'];
const ROOMS = [undefined, undefined, {}, { narrow: 0 }, { narrow: 1, wide: 0 }, { claude: 1, narrow: 2 }];
const SESSIONS = [null, null, '01J00000000000000000000000'];
const ENDINGS: readonly (ErrorCode | null)[] = [
  null,
  'execution.crashed',
  'execution.overloaded',
  'execution.lost',
];
/**
 * Time moves by multiples of a step, and every span (those of the bench too) ends well beside one,
 * also after another one: what the runs take by the real clock decides nothing.
 */
const STEP_MS = 40_000;
const HALF_STEP_MS = STEP_MS / 2;
const MANY = 1000;

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** One step: what it is called, and what it answers. */
export interface StepResult {
  readonly step: string;
  readonly result: unknown;
}

/** What random steps use of the records. */
export interface RandomSteps extends Pick<TestRecords, 'submissions' | 'advance' | 'tick' | 'now' | 'log'> {
  readonly records: Pick<JobRecords, 'create' | 'read' | 'cancel' | 'change' | 'remove' | 'events'>;
  readonly gates: Pick<Gates, 'hold' | 'reserve'>;
  claimsOf(node: string): Omit<Claims, 'peek' | 'owned' | 'adopt'>;
  upkeepOf(node: string): Omit<Upkeep, 'join' | 'migrate'>;
}

/**
 * Runs the steps of a seed and gives all that can be seen: every answer, then every record and
 * event.
 */
export async function runSeed(rpc: RandomSteps, seed: number, steps: number): Promise<readonly StepResult[]> {
  const random = randomOf(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T; // the index is inside
  const world = {
    jobs: [] as string[],
    claims: [] as { claim: Claim; node: string }[],
    given: [] as string[],
    made: 0,
  };
  const newId = (kind: string): string => {
    world.made += 1;
    return `${kind}${String(world.made).padStart(4, '0')}`;
  };
  /** Rather a new one: the old ones have ended. */
  const anyJob = (): string =>
    world.jobs.length === 0 || random() < 0.05
      ? 'none'
      : pick(random() < 0.5 ? world.jobs.slice(-3) : world.jobs);
  const newJob = (): NewJob => {
    const id = newId('J');
    const keyed = random() < 0.2;
    const sessionId = pick([...SESSIONS, ...world.jobs.slice(-2)]);
    return {
      id,
      kind: 'api',
      project: pick(['default', 'default', 'other', 'capped']),
      sessionId: sessionId ?? id,
      principal: pick(['alice', 'alice', 'alice', 'bob']),
      grant: null,
      request: resolvedPrompt({
        priority: pick([0, 0, 5, -3]),
        delayMs: pick([0, 0, 0, HALF_STEP_MS, HALF_STEP_MS + STEP_MS]),
        ttlMs: pick([null, null, HALF_STEP_MS / 2, HALF_STEP_MS / 2 + 2 * STEP_MS]),
        maxAttempts: pick([1, 1, 2, 3]),
        ...(random() < 0.2 ? { retryMode: 'restart' } : {}),
        ...(random() < 0.2 ? { autoContinue: false } : {}),
        concurrencyKey: pick(KEYS),
        sessionId,
        provider: pick(PROVIDERS),
      }),
      retryOf: null,
      pin: pick([null, null, 'n2']),
      // Now and then a host whose clock is behind.
      createdAt: CREATED_AT + (random() < 0.15 ? -1000 : 0) + world.made,
      limited: random() < 0.7,
      idempotency: keyed ? { key: pick(['i', 'j']), fingerprint: pick(['x', 'x', 'y']) } : null,
    };
  };
  const anyClaim = (): { claim: Claim; node: string } | null =>
    world.claims.length === 0 ? null : pick(world.claims);
  const events = (): TimedEvent[] =>
    Array.from({ length: Math.floor(random() * 3) }, (_, i) =>
      random() < 0.3 ? begun(pick(['S1', null])) : text(`t${i}`),
    );

  const actions: readonly (readonly [weight: number, name: string, act: () => Promise<unknown>])[] = [
    [
      30,
      'create',
      async () => {
        const job = newJob();
        world.jobs.push(job.id);
        return rpc.records.create(job);
      },
    ],
    [16, 'submit', async () => rpc.submissions.submit(anyJob(), newId('E'))],
    [30, 'deliver', async () => rpc.submissions.submit(world.given.shift() ?? anyJob(), newId('E'))],
    [
      18,
      'claim',
      async () => {
        const node = pick(NODES);
        const claimed = await rpc.claimsOf(node).claim(Math.floor(random() * 4), pick(ROOMS));
        for (const claim of claimed.claims) world.claims.push({ claim, node });
        world.given.push(...claimed.given);
        return claimed;
      },
    ],
    [
      10,
      'append',
      async () => {
        const one = anyClaim();
        if (one === null) return null;
        const { jobId, executionId } = one.claim;
        return rpc.claimsOf(one.node).append(jobId, executionId, pick([0, 0, 1, 2]), events());
      },
    ],
    [
      24,
      'finish',
      async () => {
        const one = anyClaim();
        if (one === null) return null;
        const { jobId, executionId } = one.claim;
        const code = pick(ENDINGS);
        const outcome = code === null ? succeeded(executionId) : failed(executionId, code);
        const backoffMs = pick([HALF_STEP_MS, HALF_STEP_MS + STEP_MS, null]);
        const finish = {
          jobId,
          executionId,
          outcome,
          from: pick([0, 1]),
          tail: events(),
          backoffMs,
          rawAnswer: null,
        };
        return rpc.claimsOf(one.node).finish(finish);
      },
    ],
    [5, 'cancel', async () => rpc.records.cancel(anyJob(), random() < 0.3, CANCELLED)],
    [4, 'remove', async () => rpc.records.remove(anyJob())],
    [
      5,
      'priority',
      async () => {
        const value = pick([0, 5, -3]);
        const score = scoreOf({ request: resolvedPrompt({ priority: value }), createdAt: CREATED_AT });
        return rpc.records.change(anyJob(), { priority: { value, score } });
      },
    ],
    [
      5,
      'runAt',
      async () => {
        const at = (await rpc.now()) + pick([-STEP_MS, HALF_STEP_MS, HALF_STEP_MS + STEP_MS]);
        const deadline = pick([null, null, Math.max(at, 0) + HALF_STEP_MS / 2 + STEP_MS]);
        return rpc.records.change(anyJob(), { runAt: { at, deadline } });
      },
    ],
    [4, 'hold', async () => rpc.gates.hold(pick(GATES), random() < 0.3)],
    [10, 'advance', async () => rpc.advance(STEP_MS * pick([1, 1, 2]))],
    [
      8,
      'renew',
      async () => {
        const node = pick(NODES);
        return rpc.claimsOf(node).renew(
          world.claims.filter((one) => one.node === node).map(({ claim }) => claim),
          pick([undefined, { claude: 'c' }]),
        );
      },
    ],
    [
      1,
      'reserve',
      async () => rpc.gates.reserve('c', null, (await rpc.now()) + HALF_STEP_MS + STEP_MS * pick([0, 1])),
    ],
    [1, 'revoke', async () => rpc.upkeepOf('n1').revoke([anyJob()], REVOKED)],
    [3, 'expire', async () => [...(await rpc.upkeepOf('n1').expire(CANCELLED, MANY))].sort()],
    [
      4,
      'settleLost',
      async () => {
        const by = rpc.upkeepOf(pick(NODES));
        return [...(await by.settleLost(HALF_STEP_MS + STEP_MS, LOST, UNAVAILABLE))].sort();
      },
    ],
    [
      4,
      'sweep',
      async () => {
        const swept = await rpc.upkeepOf('n1').sweep(0, MANY);
        if (random() < 0.5) await rpc.upkeepOf('n1').removed(swept.remove);
        return { deliver: [...swept.deliver].sort(), remove: [...swept.remove].sort() };
      },
    ],
    [1, 'giveBack', async () => rpc.claimsOf(pick(NODES)).giveBack()],
    [1, 'leave', async () => rpc.upkeepOf(pick(NODES)).leave()],
    [3, 'counts', async () => rpc.upkeepOf(pick(NODES)).counts()],
  ];
  const total = actions.reduce((sum, [weight]) => sum + weight, 0);

  const results: StepResult[] = [];
  for (let i = 0; i < steps; i += 1) {
    let at = random() * total;
    const found = actions.find(([weight]) => {
      at -= weight;
      return at < 0;
    });
    if (found === undefined) throw new Error('no step was picked');
    const [, name, act] = found;
    const ticked = rpc.tick(); // goes out before the step, on the same connection
    results.push({ step: `${i} ${name}`, result: withoutTimes(await act()) });
    await ticked;
  }
  for (const id of world.jobs) {
    results.push({ step: `record ${id}`, result: withoutTimes(await rpc.records.read(id)) });
    results.push({ step: `events ${id}`, result: withoutTimes(await rpc.records.events(id, 0, MANY)) });
  }
  // The model has no records of sessions.
  const log = (await rpc.log()).filter((entry) => !entry.startsWith('s '));
  results.push({ step: 'log', result: log });
  return results;
}

const TIMES = new Set(['at', 'startedAt', 'finishedAt', 'scheduledFor', 'afterMs']);
/** The model does not know when a job could begin. */
const UNKNOWN = 'waitedMs';

/** Two clocks never agree: whether there is a time is compared, not which. */
function withoutTimes(value: unknown): unknown {
  if (value === undefined) return null;
  return JSON.parse(
    JSON.stringify(value, (key, inner) => {
      if (key === UNKNOWN) return undefined;
      return TIMES.has(key) && inner !== null ? 'a time' : inner;
    }),
  );
}
