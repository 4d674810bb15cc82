/** Reads processes from /proc (Linux only). */
import { readdirSync, readFileSync } from 'node:fs';

/** CLK_TCK of Linux on every architecture that Node is built for. */
const TICKS_PER_SECOND = 100;

/** Processor time in milliseconds, in steps of one clock tick. */
export interface CpuTime {
  /** Of the process itself, all its threads. */
  readonly own: number;
  /** Of its children that have exited. */
  readonly children: number;
}

/** Zero for a process that has exited. */
export function cpuTime(pid: number): CpuTime {
  const text = readOrEmpty(`/proc/${pid}/stat`);
  // After the name, which may hold spaces: state is field 3 of proc_pid_stat(5), utime 14 … cstime
  // 17.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15);
  const ms = (ticks: number): number => (ticks * 1000) / TICKS_PER_SECOND;
  return { own: ms(user + system), children: ms(childUser + childSystem) };
}

/** Resident memory in MB (1e6 bytes). */
export function residentMb(pid: number): number {
  const kib = /^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kib) * 1024) / 1e6;
}

/** How often the threads of a process have begun to run after they had waited. */
export function wakeUps(pid: number): number {
  const counts = readdirSync(`/proc/${pid}/task`).map((task) =>
    Number(
      /^voluntary_ctxt_switches:\s*(\d+)/m.exec(readOrEmpty(`/proc/${pid}/task/${task}/status`))?.[1] ?? 0,
    ),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Direct children with their command lines. */
export function childrenOf(pid: number): { readonly pid: number; readonly command: string }[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
      .split(' ')
      .filter(Boolean)
      .map((id) => ({
        pid: Number(id),
        command: readOrEmpty(`/proc/${id}/cmdline`).replaceAll('\0', ' '),
      })),
  );
}

/**
 * PSS in MB (1e6 bytes): pages it shares with others count in part. 0 for a process that has
 * exited.
 */
export function shareMb(pid: number): number {
  const kib = /^Pss:\s*(\d+) kB/m.exec(readOrEmpty(`/proc/${pid}/smaps_rollup`))?.[1];
  return (Number(kib ?? 0) * 1024) / 1e6;
}

/** Every living process below one, at any depth. */
export function descendantsOf(pid: number): number[] {
  const children = readOrNone(() => childrenOf(pid)).map((child) => child.pid);
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has exited, or is not ours to read
  }
}

function readOrNone<T>(read: () => T[]): T[] {
  try {
    return read();
  } catch {
    return []; // it has exited
  }
}
