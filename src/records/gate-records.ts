import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { Type } from '#typebox';
import type { Actor } from '../protocol/audit.ts';
import { createChecker } from '../protocol/checker.ts';
import type { ClosedGates, CredentialLimits } from '../protocol/gates.ts';
import type { Names } from '../redis/names.ts';
import type { Claim } from './ports.ts';
import { actorArguments, type ScriptRunner } from './script-runner.ts';

/** Why a credential must not be used: a usage limit, or a refused login. */
export type GateReason = 'quota' | 'refused';

/** The gate of a credential that is not open. Times are milliseconds since the epoch, of Redis. */
export interface ClosedGate {
  readonly reason: GateReason;
  readonly since: number;
  /** When the next job may try; null: when it is opened by hand. */
  readonly until: number | null;
}

export type EnterResult =
  /** `trying`: the execution tries the credential, and the others wait for its answer. */
  { readonly kind: 'open' | 'trying'; readonly at: number } | ({ readonly kind: 'closed' } & ClosedGate);

/** What the vendor refused. */
export interface Refusal {
  readonly credential: string;
  /** The refusal holds only for models with this word in their names; null: for all. */
  readonly word: string | null;
  readonly reason: GateReason;
  readonly executionId: string;
  /** `at` of its {@link EnterResult}. */
  readonly enteredAt: number;
  /** Milliseconds since the epoch; null: not known. */
  readonly resetsAt: number | null;
  /** What a job that names no model has run; null: it named one, or that is not known. */
  readonly model: string | null;
  /** The wait when no reset is known: it doubles with each refusal in a row. */
  readonly backoff: { readonly firstMs: number; readonly maxMs: number };
}

/** A gate that a person closes: of everything, of a project, a provider or a node. */
export type HeldGate = 'queue' | `${'project' | 'provider' | 'node'}:${string}`;

/** A node with a heartbeat. */
export interface NodeState {
  readonly id: string;
  /** Its last heartbeat, in milliseconds since the epoch. */
  readonly seenAt: number;
  readonly running: number;
  /** Jobs that it was given and has not started. */
  readonly given: number;
  /** Free slots; null: it takes no jobs. */
  readonly free: number | null;
}

/** Gates, the same for all nodes and over restarts. */
export interface Gates {
  /**
   * Closes or opens a gate by hand. Returns false when it was so before.
   * @param by who, for the audit; null, the default: the server itself
   */
  hold(gate: HeldGate, closes: boolean, by?: Actor | null): Promise<boolean>;
  /** The gates that are closed by hand. */
  held(): Promise<readonly { readonly gate: HeldGate; readonly since: number }[]>;
  nodes(): Promise<readonly NodeState[]>;
  /** What jobs have to wait for now; null: for no gate. */
  inTheWay(): Promise<ClosedGates | null>;
  /** Asks before a spawn. @param model null: the job names none */
  enter(credential: string, model: string | null, executionId: string): Promise<EnterResult>;
  /** Closes a gate. Returns when the next job may try, as in {@link ClosedGate}. */
  refuse(refusal: Refusal): Promise<number | null>;
  /**
   * Keeps jobs with a negative priority from starting until then (ms since the epoch).
   * @param word as of {@link Refusal}
   */
  reserve(credential: string, word: string | null, resetsAt: number): Promise<void>;
  /** The execution that tried has its answer: the gates open, or the next job tries. */
  answered(
    credential: string,
    execution: Pick<Claim, 'jobId' | 'executionId'>,
    opens: boolean,
  ): Promise<void>;
  /** Opens the gates of a credential by hand. Returns how many there were. */
  open(credential: string, by?: Actor | null): Promise<number>;
  /** Names a credential's gates: its name, or its name, `|` and a word of models. */
  closed(): Promise<ReadonlyMap<string, ClosedGate>>;
  /** The credentials of all nodes, by provider. */
  credentials(): Promise<ReadonlyMap<string, ReadonlySet<string>>>;
  /** Key of the HMAC in names of credentials, made at the first use. */
  key(): Promise<string>;
  /** Accounts that CLIs have reported: a credential's name without its account → that with it. */
  accounts(): Promise<ReadonlyMap<string, string>>;
  /**
   * Remembers an account. The gates of the name without it become its gates.
   * @param credentials names of the node's credentials by provider, from now on
   */
  identify(known: {
    readonly node: string;
    readonly name: string;
    readonly account: string;
    readonly credentials: Readonly<Record<string, string>>;
  }): Promise<void>;
  /** The model that a credential ran last for a job that names none. */
  ran(credential: string, model: string): Promise<void>;
}

/** A reset further away counts as this far: the longest window of a plan is a week. */
const MAX_RESET_MS = 8 * 86_400_000;
const CREDENTIAL = 'credential:';
const RESERVE = 'reserve:';
const BUDGET = 'budget:';

const storedGate = createChecker(
  Type.Object({
    reason: Type.Enum(['quota', 'refused']),
    since: Type.Number(),
    until: Type.Optional(Type.Number()),
  }),
);
const storedLimit = createChecker(Type.Object({ reason: Type.String(), until: Type.Number() }));
const storedHold = createChecker(Type.Object({ since: Type.Number() }));
const HELD = /^(queue$|(project|provider|node):)/;
const storedCredentials = createChecker(Type.Record(Type.String(), Type.String()));

/** {@link Gates} over Redis. */
export function createGates(redis: Redis, names: Names, scripts: ScriptRunner): Gates {
  const timeOf = (reply: unknown): number | null => (Number(reply) < 0 ? null : Number(reply));

  return {
    async hold(gate, closes, by = null) {
      return (await scripts.run('hold', { gate, closes, ...actorArguments(by) })) === 1;
    },
    async held() {
      return heldIn(await redis.hgetall(names.gates));
    },
    async nodes() {
      const rows = (await scripts.run('nodes', {})) as (string | number)[][]; // the script's replies
      return rows.map(([id, seenAt, running, given, free]) => ({
        ...{ id: String(id), seenAt: Number(seenAt), running: Number(running), given: Number(given) },
        free: free === '' ? null : Number(free),
      }));
    },
    async inTheWay() {
      const gates = await redis.hgetall(names.gates);
      if (Object.keys(gates).length === 0) return null;
      const [nodes, credentials, lastModels] = await Promise.all([
        redis.zrange(names.nodes, '0', '-1'),
        redis.hgetall(names.credentials),
        redis.hgetall(names.lastModels),
      ]);
      return closedGates({ gates, nodes, credentials, lastModels }, Date.now());
    },
    async enter(credential, model, executionId) {
      const reply = await scripts.run('enter', { credential, model: model ?? '', executionId });
      const [kind, ...rest] = reply as [EnterResult['kind'], ...unknown[]]; // the script's replies
      if (kind !== 'closed') return { kind, at: Number(rest[0]) };
      const [reason, since, until] = rest;
      return { kind, reason: reason as GateReason, since: Number(since), until: timeOf(until) };
    },
    async refuse({ word, backoff, ...refusal }) {
      const args = { ...refusal, word: word ?? '', ...backoff, maxResetMs: MAX_RESET_MS };
      return timeOf(await scripts.run('refuse', args));
    },
    async reserve(credential, word, resetsAt) {
      await scripts.run('reserve', { credential, word: word ?? '', resetsAt, maxResetMs: MAX_RESET_MS });
    },
    async answered(credential, { jobId, executionId }, opens) {
      await scripts.run('release', { credential, jobId, executionId, opens });
    },
    async open(credential, by = null) {
      const args = { credential, jobId: '-', opens: true, ...actorArguments(by) };
      return Number(await scripts.run('release', args));
    },
    async closed() {
      const found = Object.entries(await redis.hgetall(names.gates));
      return new Map(
        found.flatMap(([name, text]): [string, ClosedGate][] => {
          const gate = parsed(text);
          if (!name.startsWith(CREDENTIAL) || !storedGate.check(gate)) return [];
          const { reason, since, until = null } = gate;
          return [[name.slice(CREDENTIAL.length), { reason, since, until }]];
        }),
      );
    },
    async credentials() {
      const found = new Map<string, Set<string>>();
      for (const text of Object.values(await redis.hgetall(names.credentials))) {
        const credentials = parsed(text);
        if (!storedCredentials.check(credentials)) continue;
        for (const [provider, credential] of Object.entries(credentials)) {
          found.set(provider, (found.get(provider) ?? new Set()).add(credential));
        }
      }
      return found;
    },
    async key() {
      await redis.set(names.credentialKey, randomBytes(32).toString('hex'), 'NX');
      return (await redis.get(names.credentialKey)) ?? '';
    },
    async accounts() {
      return new Map(Object.entries(await redis.hgetall(names.accounts)));
    },
    async identify({ credentials, ...known }) {
      await scripts.run('identify', { ...known, credentials: JSON.stringify(credentials) });
    },
    async ran(credential, model) {
      await redis.hset(names.lastModels, credential, model);
    },
  };
}

/** The value of a text that any Redis client may have written; null for no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function heldIn(
  gates: Readonly<Record<string, string>>,
): { readonly gate: HeldGate; readonly since: number }[] {
  return Object.entries(gates).flatMap(([name, text]) => {
    const gate = HELD.test(name) ? parsed(text) : null;
    return storedHold.check(gate) ? [{ gate: name as HeldGate, since: gate.since }] : []; // HELD
  });
}

/** What the gates in Redis mean for jobs at a time (ms). */
function closedGates(
  {
    gates,
    nodes,
    credentials,
    lastModels,
  }: {
    readonly gates: Readonly<Record<string, string>>;
    readonly nodes: readonly string[];
    readonly credentials: Readonly<Record<string, string>>;
    readonly lastModels: Readonly<Record<string, string>>;
  },
  now: number,
): ClosedGates {
  const held = heldIn(gates).map(({ gate }) => gate);
  const of = (kind: string): string[] =>
    held.flatMap((gate) => (gate.startsWith(`${kind}:`) ? [gate.slice(kind.length + 1)] : []));
  const drained = new Set(of('node'));

  /** When each gate of a credential opens, by word; '' for all models. */
  function untilOf(credential: string, kind: string, reason: string): Record<string, number> {
    const found = Object.entries(gates).flatMap(([name, text]): [string, number][] => {
      const [base, word = ''] = name.split('|');
      const gate = base === kind + credential ? parsed(text) : null;
      const until = storedLimit.check(gate) && gate.reason === reason ? gate.until : 0;
      return until > now ? [[word, until]] : [];
    });
    return Object.fromEntries(found);
  }

  function limitsOf(credential: string): CredentialLimits | null {
    const until = untilOf(credential, CREDENTIAL, 'quota');
    const reserved = untilOf(credential, RESERVE, 'reserve');
    if (Object.keys({ ...until, ...reserved }).length === 0) return null;
    return { lastModel: lastModels[credential] ?? null, until, reserved };
  }

  const budgets = Object.entries(gates).flatMap(([name, text]): [string, number][] => {
    const gate = name.startsWith(BUDGET) ? parsed(text) : null;
    return storedLimit.check(gate) && gate.until > now ? [[name.slice(BUDGET.length), gate.until]] : [];
  });

  return {
    budgets: Object.fromEntries(budgets),
    queue: held.includes('queue'),
    projects: of('project'),
    providers: of('provider'),
    nodes: nodes.map((id) => {
      const stored = parsed(credentials[id] ?? 'null');
      const logins = storedCredentials.check(stored) ? Object.entries(stored) : [];
      const limits = logins.flatMap(([provider, credential]) => {
        const found = limitsOf(credential);
        return found === null ? [] : [[provider, found] as const];
      });
      return { id, drained: drained.has(id), limits: Object.fromEntries(limits) };
    }),
  };
}
