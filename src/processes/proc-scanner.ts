import { readdir } from 'node:fs/promises';
import { type Cgroups, createCgroups } from './cgroups.ts';
import { createLook, type Look } from './look.ts';
import { isDead, type ProcessInfo, readStat } from './proc-entry.ts';

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
  const look = createLook();

  const start = (): Promise<readonly ProcessInfo[]> => {
    waiting = null;
    const scan = scanProc(cgroups, look);
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

async function scanProc(cgroups: Cgroups, look: Look): Promise<readonly ProcessInfo[]> {
  const found = await look(await processIds());
  for (const { pid, marker } of cgroups.members()) {
    if (found.some((info) => info.pid === pid && info.marker === marker)) continue;
    const stat = readStat(pid);
    if (stat !== null && !isDead(stat)) found.push({ pid, marker, startTicks: stat.startTicks });
  }
  return found;
}
