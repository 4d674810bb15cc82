/**
 * Keeps moves between cgroups cheap while jobs come one after the other. The first move in 20 to 30 ms waits 6 to 16 ms
 * for all cores (the kernel's cgroup_threadgroup_rwsem, ADR 12), any other takes 0.1 ms: so after one that was
 * announced, moves to where one is go on for a moment.
 */
import type { StartingCgroups } from './cgroups.ts';

const EVERY_MS = 10;
/** Longer pauses are not worth the moves: 0.1 ms each. */
const FOR_MS = 60;

export interface CheapMoves {
  /** Something is about to be started. */
  soon(): void;
  /** A move of ours that is under way: while it is, nothing may rely on where this process is. Null: none. */
  readonly underWay: Promise<void> | null;
  /** Something was started. */
  moved(): void;
}

export function createCheapMoves({ hasten }: Pick<StartingCgroups, 'hasten'>): CheapMoves {
  let until = Number.NEGATIVE_INFINITY;
  let lastMove = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | null = null;
  let underWay: Promise<void> | null = null;

  function keep(): void {
    timer = null;
    const now = performance.now();
    if (now >= until) return;
    timer = setTimeout(keep, EVERY_MS);
    if (underWay !== null || now - lastMove < EVERY_MS / 2) return;
    underWay = hasten().finally(() => {
      underWay = null;
      lastMove = performance.now();
    });
  }

  return {
    get underWay() {
      return underWay;
    },
    soon() {
      until = performance.now() + FOR_MS;
      if (timer === null) keep();
    },
    moved() {
      lastMove = performance.now();
      if (timer !== null) until = lastMove + FOR_MS;
    },
  };
}
