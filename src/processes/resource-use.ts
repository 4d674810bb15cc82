import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readStat } from './proc-entry.ts';

/** What some processes use together, as /proc shows it. */
export interface ResourceUse {
  /** Resident memory; a page that two of them share counts twice. */
  readonly memoryBytes: number;
  /** CPU time of those that live and of their children that have ended. */
  readonly cpuSeconds: number;
  readonly openFiles: number;
  readonly processes: number;
}

let pageBytes = 0;

const USUAL_PAGE_BYTES = 4096;

/** The kernel's page size; asked once, when it is needed first. */
function bytesOfPage(): number {
  if (pageBytes === 0) {
    try {
      pageBytes = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8', cwd: '/' }));
    } catch {
      pageBytes = USUAL_PAGE_BYTES; // a system without getconf
    }
  }
  return pageBytes;
}

/** Ticks per second in /proc: the same on every Linux that Node runs on (proc_pid_stat(5), USER_HZ). */
const TICKS_PER_SECOND = 100;

/** What these processes use now; one that is gone meanwhile counts for nothing. Linux only. */
export function resourceUse(pids: Iterable<number>): ResourceUse {
  let pages = 0;
  let ticks = 0;
  let openFiles = 0;
  let processes = 0;
  for (const pid of pids) {
    const stat = readStat(pid);
    if (stat === null) continue;
    processes += 1;
    ticks += stat.cpuTicks;
    pages += residentPages(pid);
    openFiles += filesOf(pid);
  }
  return {
    memoryBytes: pages === 0 ? 0 : pages * bytesOfPage(),
    cpuSeconds: ticks / TICKS_PER_SECOND,
    openFiles,
    processes,
  };
}

function residentPages(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]);
  } catch {
    return 0; // gone meanwhile
  }
}

function filesOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0; // gone meanwhile, or of another user
  }
}
