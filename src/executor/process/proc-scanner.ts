import { readdir } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Cgroups, createCgroups } from './cgroups.ts';
import { isDead, type ProcessInfo, readMarked, readStat } from './proc-entry.ts';

/** The loop is given back after this long, so that a scan of a busy machine delays nobody. */
const SLICE_MS = 2;

export interface ProcScanner {
  /**
   * Every living process that carries a marker, without our own, as of a moment after the call. Calls that
   * come while a scan runs share the next one: many executions that end together cost two scans.
   */
  scan(): Promise<readonly ProcessInfo[]>;
  /** Where else the processes of an execution are found, and ended together. */
  readonly cgroups?: Cgroups;
}

/** Reads /proc; Linux only. A process in the cgroup of an execution carries its marker, also without the variable. */
export function createProcScanner(cgroups: Cgroups = createCgroups()): ProcScanner {
  let running: Promise<unknown> | null = null;
  let waiting: Promise<readonly ProcessInfo[]> | null = null;

  const start = (): Promise<readonly ProcessInfo[]> => {
    waiting = null;
    const scan = scanProc(cgroups);
    const settled = scan.then(
      () => undefined,
      () => undefined,
    );
    running = settled;
    void settled.then(() => {
      if (running === settled) running = null;
    });
    return scan;
  };

  return {
    cgroups,
    scan() {
      if (running === null) return start();
      waiting ??= running.then(start);
      return waiting;
    },
  };
}

/** Ids of all processes, our own left out. */
export async function processIds(): Promise<number[]> {
  const ids: number[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (Number.isInteger(pid) && pid !== process.pid) ids.push(pid);
  }
  return ids;
}

/** Calls `visit` for every id, giving the event loop its turn between slices. */
export async function visitInSlices(ids: readonly number[], visit: (pid: number) => void): Promise<void> {
  let sliceStart = performance.now();
  for (const pid of ids) {
    if (performance.now() - sliceStart > SLICE_MS) {
      await nextTurn();
      sliceStart = performance.now();
    }
    visit(pid);
  }
}

async function scanProc(cgroups: Cgroups): Promise<readonly ProcessInfo[]> {
  const found: ProcessInfo[] = [];
  await visitInSlices(await processIds(), (pid) => {
    const info = readMarked(pid);
    if (info !== null) found.push(info);
  });
  for (const { pid, marker } of cgroups.members()) {
    if (found.some((info) => info.pid === pid && info.marker === marker)) continue;
    const stat = readStat(pid);
    if (stat !== null && !isDead(stat)) found.push({ pid, marker, startTicks: stat.startTicks });
  }
  return found;
}
