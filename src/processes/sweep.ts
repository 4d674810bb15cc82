import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '../timing.ts';
import { systemCode } from './launch.ts';
import { markerMatches, type ProcessInfo, readMarked } from './proc-entry.ts';
import type { ProcScanner } from './proc-scanner.ts';

/** Rounds of killing. The pauses between them grow from 2 ms to 100 ms. */
const ATTEMPTS = 10;
const PAUSES = { firstMs: 2, maxMs: 100 };

export interface SweepResult {
  /** Every process that was sent SIGKILL. */
  readonly killed: readonly number[];
  /** Alive after the last attempt: stuck in the kernel, or forking faster than they are killed. */
  readonly survivors: readonly number[];
}

/** Whether processes can be found by their markers. Needs the /proc of Linux. */
export const supportsSweep = (): boolean => HAS_PROC;
const HAS_PROC = process.platform === 'linux' && existsSync('/proc/self/environ');

/**
 * The living processes whose marker is `wanted`, or begins with it when it ends in a slash.
 * Without cgroups it misses processes that cleared their environment (`env -i`), and processes of
 * another user whose environment may not be read.
 */
export async function findMarked(wanted: string, scanner: ProcScanner): Promise<readonly ProcessInfo[]> {
  return (await scanner.scan()).filter((info) => markerMatches(info.marker, wanted));
}

/**
 * Sends SIGKILL to every process with this marker (see {@link findMarked}) until none is left.
 * Kills the execution's cgroup first, which leaves no time to fork. Does nothing without /proc.
 */
export async function sweep(
  wanted: string,
  { scanner }: { readonly scanner: ProcScanner },
): Promise<SweepResult> {
  if (!supportsSweep()) return { killed: [], survivors: [] };
  const killed = new Set<number>();
  const removed = (): boolean => scanner.cgroups?.remove(wanted) ?? true;
  let alive = await findMarked(wanted, scanner);
  for (let attempt = 0; attempt < ATTEMPTS && (alive.length > 0 || !removed()); attempt += 1) {
    for (const pid of scanner.cgroups?.kill(wanted) ?? []) killed.add(pid);
    for (const info of alive) if (killIfSame(info)) killed.add(info.pid);
    await delay(backoffMs(attempt + 1, PAUSES));
    alive = await findMarked(wanted, scanner);
  }
  return { killed: [...killed], survivors: alive.map((info) => info.pid) };
}

/** Checks the process again before the kill: the scan may be some milliseconds old. */
function killIfSame(info: ProcessInfo): boolean {
  const now = readMarked(info.pid);
  if (now === null || now.startTicks !== info.startTicks || now.marker !== info.marker) return false;
  return killProcess(info.pid);
}

/** Sends SIGKILL to one process. False when it is gone or not ours. */
export function killProcess(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (systemCode(error) === 'ESRCH' || systemCode(error) === 'EPERM') return false;
    throw error;
  }
}
