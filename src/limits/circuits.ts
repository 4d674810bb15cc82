/**
 * A circuit breaker per credential. After a refused login, jobs of the same credential fail at once
 * for a while: a queue with a wrong key must neither start a process per job nor look like an
 * attack to the vendor.
 *
 * closed → (a refusal) → open → (time) → half open: one job tries → closed, or open twice as long
 */
import { createHmac, randomBytes } from 'node:crypto';
import { AppError } from '../errors.ts';
import type { Provider } from '../providers/provider.ts';
import { backoffMs } from '../timing.ts';

/** Each further refusal doubles the time, up to this. */
export const MAX_CIRCUIT_MS = 600_000;

/**
 * What an execution shows about its login. `unknown`: it was never started, was cancelled, or the
 * server stopped.
 */
export type LoginAnswer = 'succeeded' | 'refused' | 'other' | 'unknown';

/** The permission to start one execution. */
export interface Pass {
  /** The vendor accepted the login. The job may still run for an hour. */
  proven(): void;
  /** The execution has ended. Only the first call counts. */
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

/** A CLI and the environment of its jobs: together they determine the login. */
export interface LoginUse {
  readonly provider: Pick<Provider, 'name' | 'login'>;
  readonly env: Readonly<Record<string, string>>;
}

/** One circuit per credential. */
export interface Circuits {
  /**
   * Called right before a spawn.
   * @throws AppError auth.required while the circuit is open
   */
  enter(use: LoginUse): Pass;
  view(use: LoginUse): CircuitView;
}

interface Circuit {
  /** null: closed. */
  openUntil: number | null;
  /** Refusals in a row. */
  refusals: number;
  /** The job that tries the login while half open. */
  trial: Pass | null;
  refusedAt: number | null;
  succeededAt: number | null;
}

export function createCircuits(options: {
  /** How long the first refusal opens the circuit. */
  readonly circuitMs: number;
  /** Milliseconds since the epoch. Default: unaffected by changes of the machine's clock. */
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
          // The circuit counts one refusal for all jobs that ran when it opened.
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

/** @param next when the next job may try; null while one tries */
function refusal(refusedAt: number, use: LoginUse, next: number | null, now: number): AppError {
  const { name, login } = use.provider;
  const ago = Math.max(0, Math.round((now - refusedAt) / 1000));
  const then =
    next === null ? 'another job is trying now' : `the next try is at ${new Date(next).toISOString()}`;
  return new AppError('auth.required', `${name} refused the login ${ago} s ago; ${then}; ${login.hint}`);
}

/** Names a credential without revealing it: a hash with a key that is never stored. */
export function createCredentialOf(): (use: LoginUse) => string {
  const key = randomBytes(32);
  return ({ provider: { name, login }, env }) => {
    const values = login.variables.map((variable) => env[variable] ?? null);
    return `${name} ${createHmac('sha256', key).update(JSON.stringify(values)).digest('hex')}`;
  };
}
