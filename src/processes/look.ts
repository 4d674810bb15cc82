import { setTimeout as delay } from 'node:timers/promises';
import { BARE, isDead, lookAt, type ProcessInfo, readStat } from './proc-entry.ts';
import { visitInSlices } from './slices.ts';

/**
 * When to look again at a process that shows no environment. The kernel needs some 0.1 ms to execute a program, more
 * on a busy machine; one that executed program after program showed none in 3 of 100 looks.
 */
const LOOK_AGAIN_MS = [0.5, 1, 2, 4, 8, 16];

/** Ids do not come round within this time. */
const SAME_IDS_MS = 1000;

/** The marked among `pids`. */
export type Look = (pids: readonly number[]) => Promise<ProcessInfo[]>;

/**
 * Makes a {@link Look} that misses no process because it executes another program just then: where none is shown, it
 * looks again. What has no environment for good is remembered, so that it is waited for once only.
 */
export function createLook(): Look {
  /** Start times, in ticks, of those without an environment for good. */
  let bare = new Map<number, number>();
  let lookedAt = Number.NEGATIVE_INFINITY;

  return async (pids) => {
    const found: ProcessInfo[] = [];
    const before = bare;
    const stillSame = performance.now() - lookedAt < SAME_IDS_MS;
    const still = new Map<number, number>();
    let unclear = new Map<number, number>();

    const visit = (pid: number): void => {
      const seen = lookAt(pid);
      if (seen !== BARE) {
        if (seen !== null) found.push(seen);
        return;
      }
      const known = before.get(pid);
      if (known !== undefined && stillSame) {
        still.set(pid, known);
        return;
      }
      const stat = readStat(pid);
      if (stat === null || isDead(stat)) return;
      const forGood = !stat.hasMemory || known === stat.startTicks;
      (forGood ? still : unclear).set(pid, stat.startTicks);
    };

    await visitInSlices(pids, visit);
    for (const ms of LOOK_AGAIN_MS) {
      if (unclear.size === 0) break;
      await delay(ms);
      const again = [...unclear.keys()];
      unclear = new Map();
      await visitInSlices(again, visit);
    }
    bare = new Map([...still, ...unclear]);
    lookedAt = performance.now();
    return found;
  };
}
