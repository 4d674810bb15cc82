import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '../timing.ts';
import { markerMatches } from './marker.ts';
import { type ProcessInfo, readMarked } from './proc-entry.ts';
import type { ProcScanner } from './proc-scanner.ts';
import { systemCode } from './spawn-error.ts';

const DEFAULT_ATTEMPTS = 10;
const PAUSES = { firstMs: 2, maxMs: 100 };

export interface SweepOptions {
  readonly scanner: ProcScanner;
  /** How many rounds of killing; the pauses between them grow from 2 ms to 100 ms. */
  readonly attempts?: number;
}

export interface SweepResult {
  /** Every process that was sent SIGKILL. */
  readonly killed: readonly number[];
  /** What still lived after the last attempt: stuck in the kernel, or multiplying faster than it dies. */
  readonly survivors: readonly number[];
}

/** Whether marked processes can be found at all: only where there is a Linux /proc. */
export const supportsSweep = (): boolean => process.platform === 'linux' && existsSync('/proc/self/environ');

/**
 * The living processes whose marker is `wanted`, or begins with it when it ends in a slash. Not found where there are
 * no cgroups: a process that cleared its environment (`env -i`), and one of another user whose environment may not be
 * read.
 */
export async function findMarked(wanted: string, scanner: ProcScanner): Promise<readonly ProcessInfo[]> {
  return (await scanner.scan()).filter((info) => markerMatches(info.marker, wanted));
}

/**
 * SIGKILLs every process that carries the marker (see {@link findMarked}) and looks again until none is left, first by
 * the execution's cgroup, which leaves no time to fork away.
 * Does nothing where /proc is missing.
 */
export async function sweep(wanted: string, options: SweepOptions): Promise<SweepResult> {
  if (!supportsSweep()) return { killed: [], survivors: [] };
  const { scanner, attempts = DEFAULT_ATTEMPTS } = options;
  const killed = new Set<number>();
  const removed = (): boolean => scanner.cgroups?.remove(wanted) ?? true;
  let alive = await findMarked(wanted, scanner);
  for (let attempt = 0; attempt < attempts && (alive.length > 0 || !removed()); attempt += 1) {
    for (const pid of scanner.cgroups?.kill(wanted) ?? []) killed.add(pid);
    for (const info of alive) if (killIfSame(info)) killed.add(info.pid);
    await delay(backoffMs(attempt + 1, PAUSES));
    alive = await findMarked(wanted, scanner);
  }
  return { killed: [...killed], survivors: alive.map((info) => info.pid) };
}

/** The scan may be some milliseconds old and a pid may be reused: look again just before the kill. */
function killIfSame(info: ProcessInfo): boolean {
  const now = readMarked(info.pid);
  if (now === null || now.startTicks !== info.startTicks || now.marker !== info.marker) return false;
  return killProcess(info.pid);
}

/** SIGKILL to one process; false when it is gone or not ours. */
export function killProcess(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (systemCode(error) === 'ESRCH' || systemCode(error) === 'EPERM') return false;
    throw error;
  }
}
