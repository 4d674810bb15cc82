/**
 * Ends what executions that are over left behind: processes that left their group and kept quiet. Reading /proc
 * costs a millisecond for a hundred processes, so executions that end within a moment share one look.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { supportsSweep, sweep } from '../processes/sweep.ts';

const GATHER_MS = 250;

export interface Reaper {
  /** Everything with this marker is ended soon; `done` is called after that. */
  add(marker: string, done: () => Promise<void>): void;
  /** Resolves when all of it has been done. */
  settle(): Promise<void>;
}

export function createReaper(scanner: ProcScanner, logger: Logger): Reaper {
  let gathered = new Map<string, () => Promise<void>>();
  let pass: Promise<void> | null = null;
  let hurry: (() => void) | null = null;

  function gather(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, GATHER_MS);
    hurry = resolve;
    return promise.finally(() => {
      clearTimeout(timer);
      hurry = null;
    });
  }

  async function reap(): Promise<void> {
    while (gathered.size > 0) {
      await gather();
      const over = gathered;
      gathered = new Map();
      const living = supportsSweep() ? await scanner.scan() : [];
      for (const marker of new Set(living.map((info) => info.marker))) {
        if (over.has(marker)) await end(marker);
      }
      for (const [marker, done] of over) {
        scanner.cgroups?.remove(marker); // what was left in it may have ended by itself
        await done();
      }
    }
  }

  async function end(marker: string): Promise<void> {
    const { killed, survivors } = await sweep(marker, { scanner });
    if (killed.length > 0) logger.info({ marker, pids: killed }, 'ended processes a CLI left behind');
    if (survivors.length > 0) logger.error({ marker, pids: survivors }, 'processes survived their execution');
  }

  function start(): void {
    pass ??= reap()
      .catch((error: unknown) => logger.error({ reason: messageOf(error) }, 'looking for leftovers failed'))
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
        hurry?.();
        await pass;
      }
    },
  };
}
