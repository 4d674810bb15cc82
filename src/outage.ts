/** Outages of a part that the server needs: when to log one, and when to try the part again. */
import type { Logger } from 'pino';
import { messageOf } from './errors.ts';
import { backoffMs, pause } from './timing.ts';

const PAUSES = { firstMs: 100, maxMs: 5000 };
/** After so long without a failure, the next one counts as the first. */
const STEADY_MS = 60_000;
/** The same reason is logged again after this time. */
const LOG_AGAIN_MS = 60_000;

export interface Outage {
  /** Why the part does not work now, or null. */
  problem(): string | null;
  /** The part does not work. Logged when the reason is new, then once a minute. */
  failed(reason: string): void;
  /** The part works. Logged after an outage. */
  worked(): void;
  /** Clears the problem without a log line, because nothing uses the part now. */
  forget(): void;
  /**
   * Waits before the next try: 100 ms, doubled by each failure in a row up to 5 s. Never rejects.
   */
  pause(signal: AbortSignal): Promise<void>;
}

/**
 * Starts without an outage.
 * @param part its name in the log
 * @param now milliseconds of a clock that never goes back
 */
export function createOutage(
  part: string,
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
      if (problem === null || !sameReason(reason, problem) || at - loggedAt >= LOG_AGAIN_MS) {
        logger?.error({ part, reason }, 'a part does not work and is tried again');
        loggedAt = at;
      }
      problem = reason;
    },
    worked() {
      if (problem !== null) logger?.info({ part }, 'a part works again');
      problem = null;
    },
    forget() {
      problem = null;
    },
    pause: (signal) => pause(backoffMs(failures, PAUSES), signal),
  };
}

/** Process ids and times in a reason do not count. */
const sameReason = (one: string, other: string): boolean =>
  one.replaceAll(/\d+/g, '') === other.replaceAll(/\d+/g, '');

export interface Supervision<T> {
  readonly first: T;
  /** Resolves with the reason when it has ended. Never rejects. */
  ended(running: T): Promise<string>;
  /** Starts another one. */
  start(signal: AbortSignal): Promise<T>;
  onStarted(running: T): void;
  readonly outage: Outage;
  /** Stops the supervision. The caller stops what runs then. */
  readonly signal: AbortSignal;
}

/** Starts a process again each time it ends. Resolves when `signal` aborts. */
export async function supervise<T>({
  first,
  ended,
  start,
  onStarted,
  outage,
  signal,
}: Supervision<T>): Promise<void> {
  const aborted = new Promise<null>((resolve) => {
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
  let running: T | null = first;
  while (!signal.aborted) {
    if (running !== null) {
      const reason = await Promise.race([ended(running), aborted]);
      if (reason === null) return;
      outage.failed(reason);
    }
    await outage.pause(signal);
    if (signal.aborted) return;
    try {
      running = await start(signal);
      onStarted(running);
      outage.worked();
    } catch (error) {
      running = null;
      if (!signal.aborted) outage.failed(messageOf(error));
    }
  }
}
