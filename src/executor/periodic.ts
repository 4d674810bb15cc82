import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';

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
