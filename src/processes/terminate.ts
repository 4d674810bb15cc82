import { killGroupLeftovers } from './group.ts';
import { readMarked } from './proc-entry.ts';
import type { ProcScanner } from './proc-scanner.ts';
import type { SpawnedProcess } from './spawned-process.ts';
import { supportsSweep, sweep } from './sweep.ts';

/** A process that does not go within this after SIGKILL is stuck in the kernel. */
const KILL_WAIT_MS = 5000;
/** One that does not go within this is looked for by its marker: who signals it may hang. */
const SIGNAL_WAIT_MS = 1000;

export interface TerminateOptions {
  /** From the first signal until SIGKILL; shared equally by the signals when there are several. */
  readonly graceMs: number;
  readonly scanner: ProcScanner;
  /** Sent to the group in order until the process exits; SIGTERM when left out. */
  readonly signals?: readonly NodeJS.Signals[];
  /** Ends the grace: SIGKILL at once. */
  readonly force?: AbortSignal;
  /** Rounds of the sweep. */
  readonly sweepAttempts?: number;
}

export interface Termination {
  /** The process had to be killed. */
  readonly forced: boolean;
  /** Processes that outlived it and were killed. */
  readonly killed: readonly number[];
  /** Processes that live on in spite of it: the caller reports them. */
  readonly survivors: readonly number[];
}

/** What of a process terminating it needs. */
export type TerminateTarget = Pick<
  SpawnedProcess,
  'pid' | 'marker' | 'exited' | 'exitedAtUptimeS' | 'signalGroup'
>;

/**
 * Ends a process and everything it started: signals to its group, SIGKILL after the grace, then a sweep of
 * what left the group. For a process that has exited it is the clean-up alone. May be called more than once.
 *
 * Off Linux there is no sweep, and what outlives a leader that obeyed is not found.
 */
export async function terminate(target: TerminateTarget, options: TerminateOptions): Promise<Termination> {
  const { scanner, sweepAttempts } = options;
  const forced = !(await endGracefully(target, options)) && target.signalGroup('SIGKILL');
  const killed = new Set<number>();
  const sweepAll = async (): Promise<readonly number[]> => {
    const attempts = sweepAttempts === undefined ? {} : { attempts: sweepAttempts };
    const swept = await sweep(target.marker, { scanner, ...attempts });
    for (const pid of swept.killed) killed.add(pid);
    return swept.survivors;
  };

  let gone = await waitFor(target.exited, SIGNAL_WAIT_MS);
  if (!gone) {
    await sweepAll();
    // It may be dead, and nothing tells of its exit.
    const dead = supportsSweep() && readMarked(target.pid)?.marker !== target.marker;
    gone = dead || (await waitFor(target.exited, KILL_WAIT_MS - SIGNAL_WAIT_MS));
  }
  if (target.exitedAtUptimeS !== null) {
    const leftovers = await killGroupLeftovers(target.pid, target.exitedAtUptimeS, target.marker);
    for (const pid of leftovers) killed.add(pid);
  }
  const survivors = new Set(await sweepAll());
  if (!gone) survivors.add(target.pid);
  return { forced, killed: [...killed], survivors: [...survivors] };
}

/** Whether the process exited within the grace. */
async function endGracefully(target: TerminateTarget, options: TerminateOptions): Promise<boolean> {
  const { graceMs, signals = ['SIGTERM'], force } = options;
  for (const signal of signals) {
    if (target.exitedAtUptimeS !== null) return true;
    if (force?.aborted) return false;
    target.signalGroup(signal);
    // A stopped process sees the signal only when it goes on.
    target.signalGroup('SIGCONT');
    if (await waitFor(target.exited, graceMs / signals.length, force)) return true;
  }
  return target.exitedAtUptimeS !== null;
}

/** Whether `promise` settled in time; false at once when `signal` aborts. */
function waitFor(promise: Promise<unknown>, ms: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (inTime: boolean): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(inTime);
    };
    const onAbort = (): void => finish(false);
    const timer = setTimeout(onAbort, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
    void promise.then(() => finish(true));
  });
}
