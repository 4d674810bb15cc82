/** How a part stands that the server needs, and when to try again what keeps failing: for ever, never in a hot loop. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { messageOf } from './errors.ts';

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5000;
/** Failures further apart are no row. */
const STEADY_MS = 60_000;
/** The same reason is logged again after this. */
const LOG_AGAIN_MS = 60_000;

export interface Outage {
  /** Why the part does not work now, or null. */
  problem(): string | null;
  /** It does not work. Logged when the reason is new, then once a minute. */
  failed(reason: string): void;
  /** It works. Logged after an outage. */
  worked(): void;
  /** Nothing tries any more, so that nothing is known. */
  forget(): void;
  /** Waits until it should be tried again: 100 ms, doubled by each failure in a row up to 5 s. Never rejects. */
  pause(signal: AbortSignal): Promise<void>;
}

/**
 * Starts without an outage.
 * @param what the part, as the log names it
 * @param now milliseconds, only ever growing
 */
export function createOutage(
  what: string,
  logger: Pick<Logger, 'error' | 'info'> | undefined,
  now: () => number = () => performance.now(),
): Outage {
  let problem: string | null = null;
  let failures = 0;
  let failedAt = Number.NEGATIVE_INFINITY;
  let loggedAt = Number.NEGATIVE_INFINITY;

  return {
    problem: () => problem,
    failed(reason) {
      const at = now();
      failures = at - failedAt > STEADY_MS ? 1 : failures + 1;
      failedAt = at;
      if (problem === null || !sameBut(reason, problem) || at - loggedAt >= LOG_AGAIN_MS) {
        logger?.error({ part: what, reason }, 'a part does not work and is tried again');
        loggedAt = at;
      }
      problem = reason;
    },
    worked() {
      if (problem !== null) logger?.info({ part: what }, 'a part works again');
      problem = null;
    },
    forget() {
      problem = null;
    },
    async pause(signal) {
      const ms = Math.min(FIRST_PAUSE_MS * 2 ** Math.max(0, failures - 1), MAX_PAUSE_MS);
      await delay(ms, undefined, { signal }).catch(() => undefined); // the abort
    },
  };
}

/** Process ids and times in a reason make no new one. */
const sameBut = (one: string, other: string): boolean =>
  one.replaceAll(/\d+/g, '') === other.replaceAll(/\d+/g, '');

export interface Supervision<T> {
  readonly first: T;
  /** Resolves with why it has ended. Never rejects. */
  ended(running: T): Promise<string>;
  /** Starts another one. */
  start(signal: AbortSignal): Promise<T>;
  onStarted(running: T): void;
  readonly outage: Outage;
  /** Ends the supervision; what runs then is the caller's to stop. */
  readonly signal: AbortSignal;
}

/** Answers each end of a process with the start of another one, for ever. Resolves when `signal` ended it. */
export async function supervise<T>(options: Supervision<T>): Promise<void> {
  const { outage, signal } = options;
  const aborted = new Promise<null>((resolve) => {
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
  let running: T | null = options.first;
  while (!signal.aborted) {
    if (running !== null) {
      const why = await Promise.race([options.ended(running), aborted]);
      if (why === null) return;
      outage.failed(why);
    }
    await outage.pause(signal);
    if (signal.aborted) return;
    try {
      running = await options.start(signal);
      options.onStarted(running);
      outage.worked();
    } catch (error) {
      running = null;
      if (!signal.aborted) outage.failed(messageOf(error));
    }
  }
}
