/**
 * After a refused login, jobs of the same credential are refused at once for a while instead of being tried: a
 * queue behind a wrong key must neither cost a process each nor look like an attack to the vendor.
 *
 * closed → (a refusal) → open → (time) → half open: one job tries → closed, or open again for twice as long.
 */

import { createHmac, randomBytes } from 'node:crypto';
import { AppError } from '../errors.ts';
import type { Provider } from '../providers/provider.ts';
import { backoffMs } from '../timing.ts';

/** Repeated refusals double the time up to this. */
export const MAX_CIRCUIT_MS = 600_000;

/**
 * What became of an execution, as far as its login is concerned. `untold`: it did not get so far (never started,
 * cancelled, the server stopped).
 */
export type LoginAnswer = 'succeeded' | 'refused' | 'other' | 'unknown';

/** The permission to start one execution. */
export interface Pass {
  /** The vendor has answered this one: its login works, also when the job still runs for an hour. */
  proven(): void;
  /** It has ended. Only the first call counts. */
  settle(answer: LoginAnswer): void;
}

/** Times are milliseconds since the epoch. */
export interface CircuitView {
  readonly state: 'closed' | 'open' | 'half_open';
  /** When the next job may try; null while closed. */
  readonly openUntil: number | null;
  readonly refusedAt: number | null;
  readonly succeededAt: number | null;
}

/** A CLI and the environment of its jobs: together they say which login it uses. */
export interface LoginUse {
  readonly provider: Pick<Provider, 'name' | 'login'>;
  readonly env: Readonly<Record<string, string>>;
}

/** One circuit per credential. */
export interface Circuits {
  /**
   * To be called right before a spawn.
   * @throws AppError auth.required while the credential is not to be tried
   */
  enter(use: LoginUse): Pass;
  view(use: LoginUse): CircuitView;
}

interface Circuit {
  /** null: closed. */
  openUntil: number | null;
  /** In a row. */
  refusals: number;
  /** The one job that tries. */
  trial: Pass | null;
  refusedAt: number | null;
  succeededAt: number | null;
}

export function createCircuits(options: {
  /** How long the first refusal opens a circuit. */
  readonly circuitMs: number;
  /** Milliseconds since the epoch. Default: the time since the start, whatever is done to the machine's clock. */
  readonly now?: () => number;
}): Circuits {
  const { circuitMs, now = () => performance.timeOrigin + performance.now() } = options;
  const credentialOf = createCredentialOf();
  const circuits = new Map<string, Circuit>();

  function circuitOf(use: LoginUse): Circuit {
    const credential = credentialOf(use);
    const known = circuits.get(credential);
    if (known !== undefined) return known;
    const fresh: Circuit = {
      openUntil: null,
      refusals: 0,
      trial: null,
      refusedAt: null,
      succeededAt: null,
    };
    circuits.set(credential, fresh);
    return fresh;
  }

  function open(circuit: Circuit): void {
    circuit.refusals += 1;
    circuit.openUntil = now() + backoffMs(circuit.refusals, { firstMs: circuitMs, maxMs: MAX_CIRCUIT_MS });
  }

  function close(circuit: Circuit): void {
    Object.assign(circuit, { openUntil: null, refusals: 0, trial: null });
  }

  function createPass(circuit: Circuit): Pass {
    let settled = false;
    const pass: Pass = {
      proven() {
        if (circuit.trial === pass) close(circuit);
      },
      settle(answer) {
        if (settled) return;
        settled = true;
        const tried = circuit.trial === pass;
        if (tried) circuit.trial = null;
        if (answer === 'succeeded') circuit.succeededAt = now();
        if (answer === 'refused') {
          circuit.refusedAt = now();
          // Those that ran beside the one that opened it say nothing new.
          if (tried || circuit.openUntil === null) open(circuit);
        } else if (answer === 'succeeded' || (tried && answer === 'other')) close(circuit);
      },
    };
    return pass;
  }

  return {
    enter(use) {
      const circuit = circuitOf(use);
      const { openUntil, trial } = circuit;
      if (openUntil !== null && (trial !== null || now() < openUntil)) {
        throw refusal(circuit.refusedAt ?? now(), use, trial !== null ? null : openUntil, now());
      }
      const pass = createPass(circuit);
      if (openUntil !== null) circuit.trial = pass;
      return pass;
    },
    view(use) {
      const { openUntil, refusedAt, succeededAt, trial } = circuitOf(use);
      const waits = openUntil !== null && trial === null && now() < openUntil;
      const state = openUntil === null ? 'closed' : waits ? 'open' : 'half_open';
      return { state, openUntil, refusedAt, succeededAt };
    },
  };
}

/** @param next when the next job may try; null: one is trying */
function refusal(refusedAt: number, use: LoginUse, next: number | null, now: number): AppError {
  const { name, login } = use.provider;
  const ago = Math.max(0, Math.round((now - refusedAt) / 1000));
  const then =
    next === null ? 'another job is trying now' : `the next try is at ${new Date(next).toISOString()}`;
  return new AppError('auth.required', `${name} refused the login ${ago} s ago; ${then}; ${login.hint}`);
}

/** Names the login a CLI uses, without telling it: the names are made with a key that is never stored. */
export function createCredentialOf(): (use: LoginUse) => string {
  const key = randomBytes(32);
  return ({ provider: { name, login }, env }) => {
    const values = login.variables.map((variable) => env[variable] ?? null);
    return `${name} ${createHmac('sha256', key).update(JSON.stringify(values)).digest('hex')}`;
  };
}
