/**
 * Kills the processes that ended executions left running: those that left their process group and
 * wrote nothing. Reading /proc costs a millisecond for a hundred processes, so executions that end
 * at about the same time share one scan.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import { createOutage } from '../outage.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { supportsSweep, sweep } from '../processes/sweep.ts';
import { pause } from '../timing.ts';

const GATHER_MS = 250;

export interface Reaper {
  /** Kills all processes with this marker soon, then calls `done`. Tries again what fails. */
  add(marker: string, done: () => Promise<void>): void;
  /**
   * The server stops: nothing waits any longer. Resolves when nothing is left to do, or when that
   * fails: the next start finds it.
   */
  settle(): Promise<void>;
}

/** @param onKilled gets the number of processes that were killed */
export function createReaper(
  scanner: ProcScanner,
  logger: Logger,
  onKilled: (count: number) => void,
): Reaper {
  const gathered = new Map<string, () => Promise<void>>();
  const settling = new AbortController();
  const outage = createOutage('cleanup after executions', logger);
  let pass: Promise<void> | null = null;

  async function reap(): Promise<void> {
    const { signal } = settling;
    let failed = false;
    while (gathered.size > 0 && !(failed && signal.aborted)) {
      await (failed ? outage.pause(signal) : pause(GATHER_MS, signal));
      failed = !(await cleanUp());
    }
    pass = null;
  }

  /** Whether all of it worked. The rest is still gathered. */
  async function cleanUp(): Promise<boolean> {
    const over = [...gathered];
    try {
      const found = supportsSweep() ? await scanner.scan() : [];
      const living = new Set(found.map(({ marker }) => marker));
      for (const [marker] of over) if (living.has(marker)) await kill(marker);
      for (const [marker, done] of over) {
        scanner.cgroups?.remove(marker); // its processes may have ended by themselves
        await done();
        if (gathered.get(marker) === done) gathered.delete(marker); // it may have been added again
      }
      outage.worked();
      return true;
    } catch (error) {
      outage.failed(messageOf(error));
      return false;
    }
  }

  async function kill(marker: string): Promise<void> {
    const { killed, survivors } = await sweep(marker, { scanner });
    onKilled(killed.length);
    if (killed.length > 0) logger.info({ marker, pids: killed }, 'killed processes a CLI had left running');
    if (survivors.length > 0) logger.error({ marker, pids: survivors }, 'processes survived their execution');
  }

  return {
    add(marker, done) {
      gathered.set(marker, done);
      pass ??= reap();
    },
    async settle() {
      settling.abort();
      while (pass !== null) await pass;
    },
  };
}
