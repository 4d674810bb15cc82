/** Random sequences of steps for the records and their model. A seed gives the same one always. */

import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import type { ErrorCode } from '../../../src/errors.ts';
import type { Decision } from '../../../src/protocol/approval.ts';
import type { Approvals, RunningApprovals, SteerMessages } from '../../../src/records/approval-ports.ts';
import type { Gates, HeldGate } from '../../../src/records/gate-records.ts';
import type { Claim, Claims, JobRecords, NewJob, TimedEvent } from '../../../src/records/ports.ts';
import { scoreOf } from '../../../src/records/record-codec.ts';
import type { Upkeep } from '../../../src/records/upkeep-ports.ts';
import type { TestRecords } from '../../helpers/redis-records.ts';
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
const DECISIONS: readonly Decision[] = [
  { decision: 'allow', input: { command: 'touch x' }, rules: ['Edit'] },
  { decision: 'deny', message: 'no' },
];
const BY = { actor: { id: 'key:k', address: null, requestId: null }, project: null };

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

/** `npm run contracts` tries this many times as many sequences as a usual run. */
export const THOROUGHNESS = Number(process.env['TEST_THOROUGHNESS'] ?? 1);

/** One step: what it is called, and what it answers. */
export interface StepResult {
  readonly step: string;
  readonly result: unknown;
}

/** What random steps use of the records. */
export interface RandomSteps extends Pick<TestRecords, 'submissions' | 'advance' | 'tick' | 'now' | 'log'> {
  readonly records: Pick<
    JobRecords,
    'create' | 'read' | 'cancel' | 'interrupt' | 'change' | 'remove' | 'events'
  >;
  readonly approvals: Approvals & RunningApprovals;
  readonly messages: SteerMessages;
  readonly gates: Pick<Gates, 'hold' | 'reserve'>;
  claimsOf(node: string): Omit<Claims, 'peek' | 'owned' | 'adopt'>;
  upkeepOf(node: string): Omit<Upkeep, 'join' | 'migrate'>;
}

/** What a sequence is mostly about: jobs from their beginning on, or what running jobs ask. */
export type Topic = 'jobs' | 'talk';

/** Actions that are as frequent in a sequence of either kind. */
const always = (weight: number): Readonly<Record<Topic, number>> => ({ jobs: weight, talk: weight });
const weights = (jobs: number, talk: number): Readonly<Record<Topic, number>> => ({ jobs, talk });

/**
 * Runs the steps of a seed and gives all that can be seen: every answer, then every record and
 * event.
 */
export async function runSeed(
  rpc: RandomSteps,
  { seed, steps, topic }: { readonly seed: number; readonly steps: number; readonly topic: Topic },
): Promise<readonly StepResult[]> {
  const random = randomOf(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T; // the index is inside
  const world = {
    jobs: [] as string[],
    claims: [] as { claim: Claim; node: string }[],
    given: [] as string[],
    approvals: [] as string[],
    messages: [] as { jobId: string; id: string }[],
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
  const anyApproval = (): string =>
    world.approvals.length === 0
      ? 'none'
      : pick(random() < 0.7 ? world.approvals.slice(-3) : world.approvals);
  const events = (): TimedEvent[] =>
    Array.from({ length: Math.floor(random() * 3) }, (_, i) =>
      random() < 0.3 ? begun(pick(['S1', null])) : text(`t${i}`),
    );

  const actions: readonly (readonly [
    weight: Readonly<Record<Topic, number>>,
    name: string,
    act: () => Promise<unknown>,
  ])[] = [
    [
      weights(30, 6),
      'create',
      async () => {
        const job = newJob();
        world.jobs.push(job.id);
        return rpc.records.create(job);
      },
    ],
    [weights(16, 2), 'submit', async () => rpc.submissions.submit(anyJob(), newId('E'))],
    [
      weights(30, 24),
      'deliver',
      async () => rpc.submissions.submit(world.given.shift() ?? anyJob(), newId('E')),
    ],
    [
      weights(18, 16),
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
      always(10),
      'append',
      async () => {
        const one = anyClaim();
        if (one === null) return null;
        const { jobId, executionId } = one.claim;
        return rpc.claimsOf(one.node).append(jobId, executionId, pick([0, 0, 1, 2]), events());
      },
    ],
    [
      weights(24, 14),
      'finish',
      async () => {
        const one = anyClaim();
        if (one === null) return null;
        const { jobId, executionId } = one.claim;
        const parked = random() < 0.3;
        const code = parked ? 'execution.awaiting_approval' : pick(ENDINGS);
        const outcome = code === null ? succeeded(executionId) : failed(executionId, code);
        const backoffMs = pick([HALF_STEP_MS, HALF_STEP_MS + STEP_MS, null]);
        const finish = {
          jobId,
          executionId,
          outcome,
          from: pick([0, 1]),
          tail: events(),
          backoffMs,
          parked,
          rawAnswer: null,
        };
        return rpc.claimsOf(one.node).finish(finish);
      },
    ],
    [weights(5, 2), 'cancel', async () => rpc.records.cancel(anyJob(), random() < 0.3, CANCELLED)],
    [weights(1, 3), 'interrupt', async () => rpc.records.interrupt(anyJob(), CANCELLED)],
    [
      weights(0, 24),
      'open',
      async () => {
        const one = anyClaim();
        if (one === null) return null;
        const id = newId('Q');
        const expiresAt = (await rpc.now()) + HALF_STEP_MS + STEP_MS * pick([0, 1, 9]);
        const ask = { callId: pick(['c1', 'c2', 'c3']), kind: 'tool', tool: 'Bash', input: {} } as const;
        const asked = { id, ask: { ...ask, questions: null, approvalId: null }, expiresAt };
        const opened = await rpc.approvals.open(one.claim, asked);
        if (opened?.approvalId === id) world.approvals.push(id);
        return opened;
      },
    ],
    [
      weights(0, 20),
      'decide',
      async () =>
        rpc.approvals.decide(
          anyApproval(),
          { decision: pick(DECISIONS), scope: pick(['call', 'session']) },
          BY,
        ),
    ],
    [weights(0, 10), 'park', async () => rpc.approvals.park(anyApproval(), pick(['deferred', 'granted']))],
    [
      weights(0, 12),
      'take',
      async () => rpc.approvals.take(anyApproval(), anyClaim()?.claim.executionId ?? 'none'),
    ],
    [weights(0, 2), 'withdraw', async () => rpc.approvals.withdraw(anyApproval())],
    [
      weights(0, 3),
      'unanswered',
      async () => rpc.approvals.unanswered(pick([anyJob(), ...SESSIONS.slice(2)]) ?? ''),
    ],
    [
      weights(0, 6),
      'send',
      async () => {
        const message = { jobId: anyClaim()?.claim.jobId ?? 'none', id: newId('M') };
        world.messages.push(message);
        return rpc.messages.send(message.jobId, { id: message.id, text: `text of ${message.id}` });
      },
    ],
    [
      weights(0, 5),
      'messages',
      async () => {
        const one = anyClaim();
        return one === null ? null : rpc.messages.take(one.claim.jobId, one.claim.executionId);
      },
    ],
    [
      weights(0, 5),
      'settle',
      async () => {
        const one = world.messages.length === 0 ? null : pick(world.messages);
        if (one === null) return null;
        const as = pick(['steered', 'refused', null] as const);
        if (as === null) return rpc.messages.withdraw(one.jobId, one.id);
        await rpc.messages.settle(one.jobId, one.id, as);
        return rpc.messages.state(one.jobId, one.id);
      },
    ],
    [weights(4, 1), 'remove', async () => rpc.records.remove(anyJob())],
    [
      weights(5, 1),
      'priority',
      async () => {
        const value = pick([0, 5, -3]);
        const score = scoreOf({ request: resolvedPrompt({ priority: value }), createdAt: CREATED_AT });
        return rpc.records.change(anyJob(), { priority: { value, score } });
      },
    ],
    [
      weights(5, 2),
      'runAt',
      async () => {
        const at = (await rpc.now()) + pick([-STEP_MS, HALF_STEP_MS, HALF_STEP_MS + STEP_MS]);
        const deadline = pick([null, null, Math.max(at, 0) + HALF_STEP_MS / 2 + STEP_MS]);
        return rpc.records.change(anyJob(), { runAt: { at, deadline } });
      },
    ],
    [weights(4, 0), 'hold', async () => rpc.gates.hold(pick(GATES), random() < 0.3)],
    [weights(10, 7), 'advance', async () => rpc.advance(STEP_MS * pick([1, 1, 2]))],
    [
      always(8),
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
      weights(1, 0),
      'reserve',
      async () => rpc.gates.reserve('c', null, (await rpc.now()) + HALF_STEP_MS + STEP_MS * pick([0, 1])),
    ],
    [always(1), 'revoke', async () => rpc.upkeepOf('n1').revoke([anyJob()], REVOKED)],
    [weights(3, 4), 'expire', async () => [...(await rpc.upkeepOf('n1').expire(CANCELLED, MANY))].sort()],
    [
      weights(4, 2),
      'settleLost',
      async () => {
        const by = rpc.upkeepOf(pick(NODES));
        return [...(await by.settleLost(HALF_STEP_MS + STEP_MS, LOST, UNAVAILABLE))].sort();
      },
    ],
    [
      weights(4, 8),
      'sweep',
      async () => {
        const swept = await rpc.upkeepOf('n1').sweep(0, MANY);
        if (random() < 0.5) await rpc.upkeepOf('n1').removed(swept.remove);
        return { deliver: [...swept.deliver].sort(), remove: [...swept.remove].sort() };
      },
    ],
    [weights(1, 0), 'giveBack', async () => rpc.claimsOf(pick(NODES)).giveBack()],
    [weights(1, 0), 'leave', async () => rpc.upkeepOf(pick(NODES)).leave()],
    [always(3), 'counts', async () => rpc.upkeepOf(pick(NODES)).counts()],
  ];
  const total = actions.reduce((sum, [weight]) => sum + weight[topic], 0);

  /** Some jobs run from the beginning, and their CLIs have begun their sessions. */
  async function startSome(): Promise<unknown> {
    const claims = rpc.claimsOf('n1');
    for (let i = 0; i < 4; i += 1) {
      const { limited: _, ...job } = newJob();
      const [delayMs, ttlMs, concurrencyKey] = [0, null, null];
      const request = { ...job.request, delayMs, ttlMs, concurrencyKey, sessionId: null };
      const [sessionId, project, idempotency] = [job.id, 'default', null];
      world.jobs.push(job.id);
      await rpc.records.create({ ...job, request, sessionId, project, pin: null, idempotency });
    }
    for (const id of (await claims.claim(4)).given) await rpc.submissions.submit(id, newId('E'));
    const started = await claims.claim(4);
    for (const claim of started.claims) {
      world.claims.push({ claim, node: 'n1' });
      await claims.append(claim.jobId, claim.executionId, 0, [begun('S1')]);
    }
    return started;
  }

  const results: StepResult[] = [];
  if (topic === 'talk') results.push({ step: 'start', result: withoutTimes(await startSome()) });
  for (let i = 0; i < steps; i += 1) {
    let at = random() * total;
    const found = actions.find(([weight]) => {
      at -= weight[topic];
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
    results.push({ step: `approvals ${id}`, result: withoutTimes(await rpc.approvals.ofJob(id)) });
    results.push({ step: `events ${id}`, result: withoutTimes(await rpc.records.events(id, 0, MANY)) });
  }
  // The model has no records of sessions.
  const log = (await rpc.log()).filter((entry) => !entry.startsWith('s '));
  results.push({ step: 'log', result: log });
  return results;
}

const TIMES = new Set([
  ...['at', 'startedAt', 'finishedAt', 'scheduledFor', 'afterMs'],
  ...['createdAt', 'expiresAt', 'decidedAt'],
]);
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
