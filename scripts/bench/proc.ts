/** What /proc says about processes: Linux only, as the figures are. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** Processor time in milliseconds, in steps of one clock tick. */
export interface CpuTime {
  /** Of the process itself, all its threads. */
  readonly own: number;
  /** Of its children that have ended. */
  readonly children: number;
}

export function cpuTime(pid: number): CpuTime {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // After the name, which may hold spaces: state is field 3 of proc_pid_stat(5), utime 14 … cstime 17.
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

/** Direct children with their command lines. */
export function childrenOf(pid: number): { readonly pid: number; readonly command: string }[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
      .split(' ')
      .filter(Boolean)
      .map((id) => ({
        pid: Number(id),
        command: readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' '),
      })),
  );
}
