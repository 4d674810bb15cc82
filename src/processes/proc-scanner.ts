/** Finds all processes with a marker, in /proc and in the cgroups of executions. Linux only. */
import { readdir } from 'node:fs/promises';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { type Cgroups, createCgroups } from './cgroups.ts';
import { inspect, isDead, NO_ENVIRONMENT, type ProcessInfo, readStat } from './proc-entry.ts';

/**
 * When to read a process without an environment again. The kernel needs some 0.1 ms to execute a
 * program. A process that executed program after program had none in 3 of 100 reads. On a busy
 * machine it may lose the processor meanwhile, and then has none for tens of milliseconds.
 */
const READ_AGAIN_MS = [0.5, 1, 2, 4, 8, 16, 32, 64];
/** A pid is not reused within this time. */
const SAME_PIDS_MS = 1000;
/**
 * A process that had no marker for so long never gets one: what a CLI starts has it from its first
 * instruction. A scan of 140 processes takes 2.5 ms, and 0.3 ms without these.
 */
const STRANGER_MS = 5000;
/** A scan lets the event loop run after this time. */
const SLICE_MS = 2;

export interface ProcScanner {
  /**
   * Every living process with a marker, except our own, as of a moment after the call. Calls during
   * a scan share the next one: many executions that end together cost two scans.
   */
  scan(): Promise<readonly ProcessInfo[]>;
  /** The cgroups of executions, which are scanned too. */
  readonly cgroups?: Cgroups;
}

/** A process in the cgroup of an execution has its marker, even without the variable. */
export function createProcScanner(
  cgroups: Cgroups = createCgroups(),
  now: () => number = () => performance.now(),
): ProcScanner {
  let running: Promise<unknown> | null = null;
  let next: Promise<readonly ProcessInfo[]> | null = null;
  const findMarked = createMarkedFinder(now);

  const start = (): Promise<readonly ProcessInfo[]> => {
    next = null;
    const scan = scanAll();
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

  async function scanAll(): Promise<readonly ProcessInfo[]> {
    const found = await findMarked(await processIds());
    for (const { pid, marker } of cgroups.members()) {
      if (found.some((info) => info.pid === pid && info.marker === marker)) continue;
      const stat = readStat(pid);
      if (stat !== null && !isDead(stat)) found.push({ pid, marker, startTicks: stat.startTicks });
    }
    return found;
  }

  return {
    cgroups,
    scan() {
      if (running === null) return start();
      next ??= running.then(start);
      return next;
    },
  };
}

/** The pids of all processes except our own. */
export async function processIds(): Promise<number[]> {
  const own = process.pid; // a system call at each use
  return (await readdir('/proc')).map(Number).filter((pid) => Number.isInteger(pid) && pid !== own);
}

/** Calls `visit` for every item, and lets the event loop run between slices. */
export async function visitInSlices<T>(items: readonly T[], visit: (item: T) => void): Promise<void> {
  let sliceStart = performance.now();
  for (const item of items) {
    if (performance.now() - sliceStart > SLICE_MS) {
      await nextTurn();
      sliceStart = performance.now();
    }
    visit(item);
  }
}

/**
 * Returns a function that finds the processes with a marker among `pids`. A process that executes
 * another program has no environment for a moment, so it is read again. A process that never has
 * one is remembered, so that only the first scan waits for it. A process without a marker is
 * remembered too, while scans follow each other closely.
 */
function createMarkedFinder(now: () => number): (pids: readonly number[]) => Promise<ProcessInfo[]> {
  /** Processes that never have an environment: pid to start time in ticks. */
  let known = new Map<number, number>();
  /** Processes without a marker: pid to the time of the first scan that found none. */
  let strangers: ReadonlyMap<number, number> = new Map();
  let scannedAt = Number.NEGATIVE_INFINITY;

  return async (pids) => {
    const found: ProcessInfo[] = [];
    const before = known;
    const startedAt = now();
    const pidsAreSame = startedAt - scannedAt < SAME_PIDS_MS;
    const strangersBefore = pidsAreSame ? strangers : new Map<number, number>();
    const permanent = new Map<number, number>();
    const unmarked = new Map<number, number>();
    let unclear = new Map<number, number>();

    const visit = (pid: number): void => {
      const strangerSince = strangersBefore.get(pid) ?? startedAt;
      const seen = startedAt - strangerSince >= STRANGER_MS ? null : inspect(pid);
      if (seen !== NO_ENVIRONMENT) {
        if (seen === null) unmarked.set(pid, strangerSince);
        else found.push(seen);
        return;
      }
      const knownStart = before.get(pid);
      if (knownStart !== undefined && pidsAreSame) {
        permanent.set(pid, knownStart);
        return;
      }
      const stat = readStat(pid);
      if (stat === null || isDead(stat)) return;
      const isPermanent = !stat.hasMemory || knownStart === stat.startTicks;
      (isPermanent ? permanent : unclear).set(pid, stat.startTicks);
    };

    await visitInSlices(pids, visit);
    for (const ms of READ_AGAIN_MS) {
      if (unclear.size === 0) break;
      await delay(ms);
      const again = [...unclear.keys()];
      unclear = new Map();
      await visitInSlices(again, visit);
    }
    known = new Map([...permanent, ...unclear]);
    strangers = unmarked;
    scannedAt = now();
    return found;
  };
}
