import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { messageOf } from './errors.ts';

/** The pause before the next try: `firstMs`, doubled by each further failure, at most `maxMs`. */
export function backoffMs(failures: number, { firstMs, maxMs }: { firstMs: number; maxMs: number }): number {
  return Math.min(firstMs * 2 ** Math.max(0, failures - 1), maxMs);
}

/** Resolves after `ms`, or at once when `signal` aborts. Never rejects. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

/** Resolves with whether `promise` was fulfilled within `ms`. Rejects when it does in that time. */
export async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Repeats tasks. A task that takes longer than its interval is not started twice. */
export interface Periodic {
  every(ms: number, what: string, task: () => Promise<void>): void;
  stop(): void;
}

/** A task that fails runs again after its interval. */
export function createPeriodic(logger: Logger): Periodic {
  const timers: NodeJS.Timeout[] = [];
  return {
    every(ms, what, task) {
      let busy = false;
      const run = (): void => {
        if (busy) return;
        busy = true;
        task()
          .catch((error: unknown) =>
            logger.debug({ reason: messageOf(error), task: what }, 'a periodic task failed'),
          )
          .finally(() => {
            busy = false;
          });
      };
      timers.push(setInterval(run, ms));
    },
    stop() {
      for (const timer of timers.splice(0)) clearInterval(timer);
    },
  };
}

export interface OnceMore {
  /** Starts the task. While it runs, any number of calls start it once more after that. */
  ask(): void;
  /** Null while the task does not run. Never rejects. */
  readonly running: Promise<void> | null;
}

export function onceMore(task: () => Promise<void>, onFailure: (error: unknown) => void): OnceMore {
  let running: Promise<void> | null = null;
  let again = false;
  function ask(): void {
    again = running !== null;
    if (again) return;
    running = task()
      .catch(onFailure)
      .finally(() => {
        running = null;
        if (again) ask();
      });
  }
  return {
    ask,
    get running() {
      return running;
    },
  };
}
