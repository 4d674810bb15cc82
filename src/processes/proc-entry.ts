/**
 * Reads single processes from /proc: markers, states, working directories and resources. Linux
 * only.
 */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';

/**
 * The variable that every process of an execution carries. Tools inherit it, even under setsid. So
 * everything that outlives its CLI can be found, also by the next run of the server.
 */
export const MARKER_VARIABLE = 'BULLPEN_EXECUTION_ID';

/** Whether `marker` is `wanted`, or begins with it when `wanted` ends in a slash (`<nodeId>/`). */
export const markerMatches = (marker: string, wanted: string): boolean =>
  wanted.endsWith('/') ? marker.startsWith(wanted) : marker === wanted;

/**
 * A process with a marker. Only `pid` and `startTicks` together identify it: a pid may be reused.
 */
export interface ProcessInfo {
  readonly pid: number;
  /** Value of its `BULLPEN_EXECUTION_ID`. */
  readonly marker: string;
  /** Start time in clock ticks since boot (field 22 of `/proc/PID/stat`). */
  readonly startTicks: number;
}

/** Some fields of `/proc/PID/stat`, see proc_pid_stat(5). */
export interface ProcessStat {
  /** One letter. `Z` and `X` are dead. */
  readonly state: string;
  readonly groupId: number;
  readonly sessionId: number;
  /** The group in the foreground of its controlling terminal. -1: it has none. */
  readonly foregroundGroupId: number;
  readonly startTicks: number;
  /** CPU time of the process and of its children that have ended, in clock ticks. */
  readonly cpuTicks: number;
  /** Whether it has an address space. Kernel threads and dying processes have none. */
  readonly hasMemory: boolean;
}

/**
 * Returned for a process without an environment: a kernel thread, a dead process, a process started
 * without one, or a process in the middle of execve(2).
 */
export const NO_ENVIRONMENT = Symbol('no environment');

const ASSIGNMENT = Buffer.from(`${MARKER_VARIABLE}=`);
const FIRST_BUFFER_BYTES = 64 * 1024;
// Reads are synchronous, so they share one buffer. It grows to the largest file read.
let buffer: Buffer = Buffer.alloc(0);

/** Says nothing of a process, only that this one has no descriptor or memory to read it. */
const SHORTAGES = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

/**
 * Reads a whole file of /proc into `buffer`. Returns its length, or -1 when it cannot be read.
 * Synchronous: /proc is in memory, so the thread pool would only add to the cost.
 * @throws the system's error when this process lacks a descriptor or memory
 */
function readProcFile(path: string): number {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && SHORTAGES.has(String(error.code))) throw error;
    return -1;
  }
  if (buffer.length === 0) buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER_BYTES);
  try {
    let length = readSync(descriptor, buffer, 0, buffer.length, 0);
    // Read again from the start: between two reads the process may execute another program.
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

/** The marker in a process's environment. null when it has none or is gone. @throws a shortage */
function readMarker(pid: number): string | typeof NO_ENVIRONMENT | null {
  const length = readProcFile(`/proc/${pid}/environ`);
  if (length === 0) return NO_ENVIRONMENT;
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

/** null when the process is gone, or this one has no descriptor to read it. */
export function readStat(pid: number): ProcessStat | null {
  const length = lengthOf(`/proc/${pid}/stat`);
  if (length <= 0) return null;
  const text = buffer.toString('latin1', 0, length);
  // The second field is the name in parentheses. It may contain spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: fields[0] ?? '',
    groupId: Number(fields[2]),
    sessionId: Number(fields[3]),
    foregroundGroupId: Number(fields[5]),
    startTicks: Number(fields[19]),
    cpuTicks: Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]),
    hasMemory: fields[20] !== '0',
  };
}

/** The real path of a process's working directory. null when the process is gone or not ours. */
export function workingDirectoryOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}

/** Whether the process has ended. A zombie only waits for its parent. */
export const isDead = (stat: ProcessStat): boolean => stat.state === 'Z' || stat.state === 'X';

/** Whether a process lives. Where there is no Linux /proc, a zombie counts, too. */
export function isAlive(pid: number): boolean {
  if (process.platform === 'linux') {
    const stat = readStat(pid);
    return stat !== null && !isDead(stat);
  }
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const lengthOf = (path: string): number => {
  try {
    return readProcFile(path);
  } catch {
    return -1;
  }
};

/**
 * The process when it lives and has a marker; {@link NO_ENVIRONMENT}; else null.
 * @throws the system's error when this process lacks a descriptor or memory to look
 */
export function inspect(pid: number): ProcessInfo | typeof NO_ENVIRONMENT | null {
  const marker = readMarker(pid);
  if (marker === null || marker === NO_ENVIRONMENT) return marker;
  const stat = readStat(pid);
  return stat === null || isDead(stat) ? null : { pid, marker, startTicks: stat.startTicks };
}

/** The process when it lives and has a marker, else null. */
export function readMarked(pid: number): ProcessInfo | null {
  const found = inspect(pid);
  return found === NO_ENVIRONMENT ? null : found;
}

/** What some processes use together. */
export interface ResourceUse {
  /** Resident memory. A page that two of them share counts twice. */
  readonly memoryBytes: number;
  /** CPU time of the processes and of their children that have ended. */
  readonly cpuSeconds: number;
  readonly openFiles: number;
  readonly processes: number;
}

/** USER_HZ, the unit of times in /proc. It is 100 on every Linux that Node runs on. */
export const TICKS_PER_SECOND = 100;

export const NO_USE: ResourceUse = { memoryBytes: 0, cpuSeconds: 0, openFiles: 0, processes: 0 };

/** What a process uses now. One that is gone uses nothing. */
export function resourceUse(pid: number): ResourceUse {
  const stat = readStat(pid);
  if (stat === null) return NO_USE;
  const cpuSeconds = stat.cpuTicks / TICKS_PER_SECOND;
  return { memoryBytes: residentBytes(pid), cpuSeconds, openFiles: countFiles(pid), processes: 1 };
}

export const sumOfUse = (one: ResourceUse, other: ResourceUse): ResourceUse => ({
  memoryBytes: one.memoryBytes + other.memoryBytes,
  cpuSeconds: one.cpuSeconds + other.cpuSeconds,
  openFiles: one.openFiles + other.openFiles,
  processes: one.processes + other.processes,
});

function residentBytes(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024;
  } catch {
    return 0; // gone
  }
}

/** Since Linux 6.2 the size of the folder is their number; before that it is 0. */
function countFiles(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  try {
    return statSync(folder).size || readdirSync(folder).length;
  } catch {
    return 0; // gone, or of another user
  }
}
