/**
 * Kills the processes that ended executions left running: those that left their process group and
 * wrote nothing. Reading /proc costs a millisecond for a hundred processes, so executions that end
 * at about the same time share one scan.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { supportsSweep, sweep } from '../processes/sweep.ts';

const GATHER_MS = 250;

export interface Reaper {
  /** Kills all processes with this marker soon, then calls `done`. */
  add(marker: string, done: () => Promise<void>): void;
  /** Resolves when nothing is left to do. */
  settle(): Promise<void>;
}

/** @param onKilled gets the number of processes that were killed */
export function createReaper(
  scanner: ProcScanner,
  logger: Logger,
  onKilled: (count: number) => void,
): Reaper {
  let gathered = new Map<string, () => Promise<void>>();
  let pass: Promise<void> | null = null;
  let endWait: (() => void) | null = null;

  function gather(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, GATHER_MS);
    endWait = resolve;
    return promise.finally(() => {
      clearTimeout(timer);
      endWait = null;
    });
  }

  async function reap(): Promise<void> {
    while (gathered.size > 0) {
      await gather();
      const over = gathered;
      gathered = new Map();
      const living = supportsSweep() ? await scanner.scan() : [];
      for (const marker of new Set(living.map((info) => info.marker))) {
        if (over.has(marker)) await kill(marker);
      }
      for (const [marker, done] of over) {
        scanner.cgroups?.remove(marker); // its processes may have ended by themselves
        await done();
      }
    }
  }

  async function kill(marker: string): Promise<void> {
    const { killed, survivors } = await sweep(marker, { scanner });
    onKilled(killed.length);
    if (killed.length > 0) logger.info({ marker, pids: killed }, 'killed processes a CLI had left running');
    if (survivors.length > 0) logger.error({ marker, pids: survivors }, 'processes survived their execution');
  }

  function start(): void {
    pass ??= reap()
      .catch((error: unknown) =>
        logger.error({ reason: messageOf(error) }, 'looking for processes that were left running failed'),
      )
      .finally(() => {
        pass = null;
        if (gathered.size > 0) start();
      });
  }

  return {
    add(marker, done) {
      gathered.set(marker, done);
      start();
    },
    async settle() {
      while (pass !== null) {
        endWait?.();
        await pass;
      }
    },
  };
}
