import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';
import { MARKER_VARIABLE } from './marker.ts';

/** A process that carries a marker. `pid` and `startTicks` together name it for ever; `pid` alone may be reused. */
export interface ProcessInfo {
  readonly pid: number;
  /** Value of its `BULLPEN_EXECUTION_ID`. */
  readonly marker: string;
  /** Start time in clock ticks since boot (field 22 of `/proc/PID/stat`). */
  readonly startTicks: number;
}

/** The fields of `/proc/PID/stat` that matter here; see proc_pid_stat(5). */
export interface ProcessStat {
  /** One letter; `Z` and `X` are dead. */
  readonly state: string;
  readonly groupId: number;
  readonly sessionId: number;
  readonly startTicks: number;
  /** CPU time of the process and of its children that have ended, in clock ticks. */
  readonly cpuTicks: number;
  /** Whether it has an address space: threads of the kernel and what is dying have none. */
  readonly hasMemory: boolean;
}

/**
 * Stands for a process without an environment: a thread of the kernel, a dead one, one that was started without, or
 * one that executes another program just now, for which the kernel has not yet laid out what it was given.
 */
export const BARE = Symbol('bare');

const ASSIGNMENT = Buffer.from(`${MARKER_VARIABLE}=`);
const FIRST_BUFFER_BYTES = 64 * 1024;
// Reads are synchronous, so one buffer serves them all; it grows to the largest environment met.
let buffer: Buffer = Buffer.alloc(0);

/**
 * A short file of /proc, whole, in `buffer`; its length, or -1 when it cannot be read (gone, not ours).
 * Three syscalls; /proc answers from memory, so the thread pool would only add to the cost.
 */
function readProcFile(path: string): number {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch {
    return -1;
  }
  if (buffer.length === 0) buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER_BYTES);
  try {
    let length = readSync(descriptor, buffer, 0, buffer.length, 0);
    // Read anew as a whole: between two reads the process may execute another program, and the rest is gone.
    while (length === buffer.length) {
      buffer = Buffer.allocUnsafeSlow(buffer.length * 2);
      length = readSync(descriptor, buffer, 0, buffer.length, 0);
    }
    return length;
  } catch {
    return -1;
  } finally {
    closeSync(descriptor);
  }
}

/** The marker in a process's environment; null when it has none or is gone. */
function readMarker(pid: number): string | typeof BARE | null {
  const length = readProcFile(`/proc/${pid}/environ`);
  if (length === 0) return BARE;
  if (length < ASSIGNMENT.length) return null;
  const environment = buffer.subarray(0, length);
  let at = environment.indexOf(ASSIGNMENT);
  while (at !== -1) {
    if (at === 0 || environment[at - 1] === 0) {
      const start = at + ASSIGNMENT.length;
      const end = environment.indexOf(0, start);
      return environment.toString('utf8', start, end === -1 ? length : end);
    }
    at = environment.indexOf(ASSIGNMENT, at + 1);
  }
  return null;
}

/** State, group and start time of a process, or null when it is gone. Linux only. */
export function readStat(pid: number): ProcessStat | null {
  const length = readProcFile(`/proc/${pid}/stat`);
  if (length <= 0) return null;
  const text = buffer.toString('latin1', 0, length);
  // The second field is the name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: fields[0] ?? '',
    groupId: Number(fields[2]),
    sessionId: Number(fields[3]),
    startTicks: Number(fields[19]),
    cpuTicks: Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]),
    hasMemory: fields[20] !== '0',
  };
}

/** The real path of the folder a process is in; null when it is gone, or not to be known. Linux only. */
export function folderOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}

/** Whether a process of this state has ended; a zombie only waits for its parent. */
export const isDead = (stat: ProcessStat): boolean => stat.state === 'Z' || stat.state === 'X';

/** The process if it lives and carries a marker, {@link BARE} when it has no environment to carry one, else null. */
export function lookAt(pid: number): ProcessInfo | typeof BARE | null {
  const marker = readMarker(pid);
  if (marker === null || marker === BARE) return marker;
  const stat = readStat(pid);
  return stat === null || isDead(stat) ? null : { pid, marker, startTicks: stat.startTicks };
}

/** The process if it lives and is seen to carry a marker, else null. */
export function readMarked(pid: number): ProcessInfo | null {
  const seen = lookAt(pid);
  return seen === BARE ? null : seen;
}
