import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';

/** Tasks that are done again and again; one that takes longer than its interval is not begun twice. */
export interface Periodic {
  every(ms: number, what: string, task: () => Promise<void>): void;
  stop(): void;
}

/** A task that fails is tried again when its time has come. */
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

/** However often it is asked for while the task is under way, it is done once more after that. */
export function onceMore(task: () => Promise<void>, onFailure: (error: unknown) => void): () => void {
  let underway = false;
  let again = false;
  return function ask(): void {
    again = underway;
    if (underway) return;
    underway = true;
    task()
      .catch(onFailure)
      .finally(() => {
        underway = false;
        if (again) ask();
      });
  };
}
