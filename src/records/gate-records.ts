import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Names } from '../redis/names.ts';
import type { Claim } from './ports.ts';
import type { ScriptRunner } from './script-runner.ts';

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

/** The gates of credentials, the same for all nodes and over restarts. */
export interface Gates {
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
  open(credential: string): Promise<number>;
  /** Names a credential's gates: its name, or its name, `|` and a word of models. */
  closed(): Promise<ReadonlyMap<string, ClosedGate>>;
  /** Whether the jobs of a provider are paused by hand. */
  paused(): Promise<(provider: string) => boolean>;
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

const storedGate = Compile(
  Type.Object({
    reason: Type.Enum(['quota', 'refused']),
    since: Type.Number(),
    until: Type.Optional(Type.Number()),
  }),
);
const storedCredentials = Compile(Type.Record(Type.String(), Type.String()));

/** {@link Gates} over Redis. */
export function createGates(redis: Redis, names: Names, scripts: ScriptRunner): Gates {
  const timeOf = (reply: unknown): number | null => (Number(reply) < 0 ? null : Number(reply));

  return {
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
    async open(credential) {
      return Number(await scripts.run('release', { credential, jobId: '-', opens: true }));
    },
    async closed() {
      const found = Object.entries(await redis.hgetall(names.gates));
      return new Map(
        found.flatMap(([name, text]): [string, ClosedGate][] => {
          const gate = parsed(text);
          if (!name.startsWith(CREDENTIAL) || !storedGate.Check(gate)) return [];
          const { reason, since, until = null } = gate;
          return [[name.slice(CREDENTIAL.length), { reason, since, until }]];
        }),
      );
    },
    async paused() {
      const found = await redis.hkeys(names.gates);
      return (provider) => found.includes('queue') || found.includes(`provider:${provider}`);
    },
    async credentials() {
      const found = new Map<string, Set<string>>();
      for (const text of Object.values(await redis.hgetall(names.credentials))) {
        const credentials = parsed(text);
        if (!storedCredentials.Check(credentials)) continue;
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
