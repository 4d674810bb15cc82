/**
 * What a run will do and when: which faults and which requests of clients. It is made from the seed
 * alone, before the run begins. The same seed, length and number of servers give the same plan.
 */
import type { Step } from '../../tests/fakes/fake-cli-steps.ts';
import { fakePrompt } from '../../tests/helpers/fake-cli.ts';
import { random } from '../../tests/helpers/random.ts';

/** Each fault, with how often a deck has it, and its shortest and longest time in ms. */
export const FAULTS = {
  'main.kill': { cards: 3, ms: [200, 3000] },
  'main.stop': { cards: 1, ms: [200, 1500] },
  'main.pause': { cards: 2, ms: [300, 5000] },
  'worker.kill': { cards: 4, ms: [0, 0] },
  'worker.pause': { cards: 2, ms: [500, 12_000] },
  'cli.kill': { cards: 3, ms: [0, 0] },
  'cli.pause': { cards: 2, ms: [300, 3000] },
  'launcher.kill': { cards: 2, ms: [0, 0] },
  'launcher.pause': { cards: 2, ms: [500, 12_000] },
  'redis.kill': { cards: 2, ms: [0, 0] },
  'redis.pause': { cards: 2, ms: [300, 4000] },
  'redis.cut': { cards: 3, ms: [0, 0] },
  'net.drop': { cards: 2, ms: [200, 4000] },
  'net.stall': { cards: 2, ms: [200, 4000] },
  'starve.cpu': { cards: 1, ms: [1000, 4000] },
  'starve.files': { cards: 1, ms: [500, 3000] },
  'starve.redis': { cards: 1, ms: [500, 3000] },
} as const satisfies Record<string, { cards: number; ms: readonly [number, number] }>;
export type FaultKind = keyof typeof FAULTS;

export interface PlannedFault {
  /** Milliseconds after the begin. */
  readonly at: number;
  readonly kind: FaultKind;
  /** How long it lasts, or how long the process stays away. */
  readonly ms: number;
  /** Chooses among the processes that exist then: from 0 to 1. */
  readonly pick: number;
}

/** A request of a job, as the API takes it. */
export type JobRequest = Readonly<Record<string, unknown>> & { readonly prompt: string };

interface PlannedRequest {
  readonly at: number;
  /** Names it in everything that it leaves: its Idempotency-Key, its tag, its prompt. */
  readonly key: string;
  /** Chooses the server that is asked first. */
  readonly pick: number;
}

export type PlannedAction = PlannedRequest &
  (
    | {
        readonly kind: 'job';
        readonly request: JobRequest;
        /** Prompts that continue its session, one after the other. */
        readonly turns: readonly JobRequest[];
        /** The request is sent once more with the same key, after so long; null: it is not. */
        readonly repeatAfterMs: number | null;
        readonly cancel: { readonly afterMs: number; readonly force: boolean } | null;
        /** Is asked for again by the retry route when it has ended. */
        readonly retried: boolean;
        /** Its events are read while it runs. */
        readonly watched: boolean;
      }
    | {
        readonly kind: 'batch';
        readonly requests: readonly JobRequest[];
        readonly repeatAfterMs: number | null;
        readonly cancel: { readonly afterMs: number; readonly force: boolean } | null;
      }
    | { readonly kind: 'look'; readonly path: string }
  );

export interface Plan {
  readonly seed: number;
  readonly servers: number;
  readonly durationMs: number;
  readonly faults: readonly PlannedFault[];
  readonly actions: readonly PlannedAction[];
}

const MEAN_FAULT_GAP_MS = 1700;
const MEAN_ACTION_GAP_MS = 650;
const LOOKS = [
  '/v1/jobs?limit=100',
  '/ready',
  '/health',
  '/metrics',
  '/v1/usage',
  '/v1/providers',
  '/v1/processes',
];

type Dice = ReturnType<typeof createDice>;

export function makePlan(options: { seed: number; durationMs: number; servers: number }): Plan {
  // Faults and requests have numbers of their own: another mix of one leaves the other as it was.
  const faults = planFaults(createDice(options.seed), options.durationMs);
  const actions = planActions(createDice(options.seed + 1_000_003), options);
  return { ...options, faults, actions };
}

/** The plan as lines that can be compared. */
export function renderPlan({ seed, servers, durationMs, faults, actions }: Plan): string {
  const seconds = (at: number): string => (at / 1000).toFixed(2).padStart(8);
  const lines = [
    ...faults.map(({ at, kind, ms }) => ({ at, line: `fault ${kind}${ms === 0 ? '' : ` for ${ms} ms`}` })),
    ...actions.map(({ at, pick: _, ...rest }) => ({ at, line: `${rest.kind} ${JSON.stringify(rest)}` })),
  ].toSorted((a, b) => a.at - b.at);
  const head = `plan of seed ${seed}: ${durationMs / 1000} s, ${servers} server(s), ${faults.length} faults, ${actions.length} actions`;
  return [head, ...lines.map(({ at, line }) => `${seconds(at)} ${line}`)].join('\n');
}

function planFaults(dice: Dice, durationMs: number): PlannedFault[] {
  const faults: PlannedFault[] = [];
  let deck: FaultKind[] = [];
  for (let at = dice.gap(MEAN_FAULT_GAP_MS); at < durationMs; at += dice.gap(MEAN_FAULT_GAP_MS)) {
    if (deck.length === 0) deck = dice.shuffled(allCards());
    const kind = deck.pop() ?? 'main.kill';
    const [shortest, longest] = FAULTS[kind].ms;
    faults.push({ at, kind, ms: dice.between(shortest, longest), pick: dice.next() });
  }
  return faults;
}

const allCards = (): FaultKind[] =>
  // Object.keys forgets the type of the keys.
  (Object.keys(FAULTS) as FaultKind[]).flatMap((kind) => Array(FAULTS[kind].cards).fill(kind));

function planActions(dice: Dice, { seed, durationMs }: { seed: number; durationMs: number }) {
  const actions: PlannedAction[] = [];
  for (let at = 0; at < durationMs; at += dice.gap(MEAN_ACTION_GAP_MS)) {
    const key = `n${seed}-${actions.length}`;
    actions.push({ at, key, pick: dice.next(), ...planAction(dice, key) });
  }
  return actions;
}

type Unplaced<T> = T extends unknown ? Omit<T, keyof PlannedRequest> : never;

function planAction(dice: Dice, key: string): Unplaced<PlannedAction> {
  const kind = dice.one(['job', 'job', 'job', 'job', 'job', 'session', 'batch', 'look', 'look'] as const);
  const repeatAfterMs = dice.chance(0.4) ? dice.between(0, 2000) : null;
  const cancel = (probability: number) =>
    dice.chance(probability) ? { afterMs: dice.between(0, 3000), force: dice.chance(0.3) } : null;
  switch (kind) {
    case 'look':
      return { kind, path: dice.one(LOOKS) };
    case 'batch': {
      const requests = Array.from({ length: dice.between(2, 6) }, (_, at) => planJob(dice, `${key}-b${at}`));
      return { kind, requests, repeatAfterMs, cancel: cancel(0.2) };
    }
    case 'session': {
      const turns = Array.from({ length: dice.between(1, 3) }, (_, at) =>
        talk(`${key}-t${at}`, dice.one([[], [{ delta: 'again' }, { sleepMs: 200 }]])),
      );
      return {
        kind: 'job',
        request: talk(key, [{ delta: 'hello' }]),
        turns,
        repeatAfterMs,
        cancel: null,
        retried: false,
        watched: false,
      };
    }
    case 'job':
      return {
        kind,
        request: planJob(dice, key),
        turns: [],
        repeatAfterMs,
        cancel: cancel(0.2),
        retried: dice.chance(0.15),
        watched: dice.chance(0.4),
      };
  }
}

/** A prompt for the scripted CLI; its first line is the key. */
function talk(key: string, steps: readonly Step[], more: Readonly<Record<string, unknown>> = {}): JobRequest {
  return { prompt: fakePrompt(steps, key), tags: [key], timeoutMs: 60_000, ...more };
}

const BEHAVIOURS: readonly ((dice: Dice) => readonly Step[])[] = [
  () => [],
  () => [],
  (dice) => [{ deltas: { count: dice.between(5, 150), text: 'word ' } }],
  (dice) => [{ delta: 'slow' }, { sleepMs: dice.between(200, 3000) }],
  (dice) => [{ tool: { name: 'Bash', input: {}, during: [{ sleepMs: dice.between(50, 800) }] } }],
  (dice) => [{ delta: 'left' }, { spawn: { setsid: dice.chance(0.5), holdPipe: dice.chance(0.5) } }],
  (dice) => [{ spawn: { setsid: true, double: true } }, { sleepMs: dice.between(0, 500) }],
  () => [{ delta: 'half' }, { exit: 1 }],
  () => [{ result: { is_error: true, subtype: 'error_during_execution' } }],
  () => [{ ignore: ['SIGTERM'] }, { delta: 'stubborn' }, { sleepMs: 1500 }],
];

function planJob(dice: Dice, key: string): JobRequest {
  const more: Record<string, unknown> = {};
  if (dice.chance(0.6)) more['retry'] = { maxAttempts: dice.between(2, 3) };
  if (dice.chance(0.2)) more['delayMs'] = dice.between(100, 3000);
  if (dice.chance(0.05)) more['ttlMs'] = 3000;
  if (dice.chance(0.3)) more['priority'] = dice.between(-10, 10);
  if (dice.chance(0.15)) more['concurrencyKey'] = `key-${dice.between(1, 3)}`;
  if (dice.chance(0.3)) return { provider: 'echo', prompt: key, tags: [key], ...more };
  if (dice.chance(0.05)) return talk(key, [{ hang: true }], { ...more, timeoutMs: dice.between(1500, 3000) });
  return talk(key, dice.one(BEHAVIOURS)(dice), more);
}

function createDice(seed: number) {
  const next = random(seed);
  const between = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  const one = <T>(list: readonly T[]): T => {
    const chosen = list[Math.floor(next() * list.length)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  };
  return {
    next,
    /** A whole number, both ends included. */
    between,
    one,
    chance: (probability: number): boolean => next() < probability,
    /** Milliseconds until the next of many independent moments, at most three times the mean. */
    gap: (meanMs: number): number => Math.ceil(Math.min(-Math.log(1 - next()), 3) * meanMs),
    shuffled<T>(list: readonly T[]): T[] {
      const left = [...list];
      return list.flatMap(() => left.splice(Math.floor(next() * left.length), 1));
    },
  };
}
