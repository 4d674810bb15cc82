import { systemCode } from './launch.ts';
import { isDead, readMarked, readStat, TICKS_PER_SECOND } from './proc-entry.ts';
import { type ProcScanner, processIds, visitInSlices } from './proc-scanner.ts';
import type { SpawnedProcess } from './spawned-process.ts';
import { killProcess, supportsSweep, sweep } from './sweep.ts';

/** A process that lives longer after SIGKILL is stuck in the kernel. */
const KILL_WAIT_MS = 5000;
/** After this wait the process is killed by its marker, because its launcher may hang. */
const SIGNAL_WAIT_MS = 1000;

export interface TerminateOptions {
  /** From SIGTERM until SIGKILL. */
  readonly graceMs: number;
  readonly scanner: ProcScanner;
  /** Ends the grace: SIGKILL at once. */
  readonly force?: AbortSignal;
}

export interface Termination {
  /** The process had to be killed. */
  readonly forced: boolean;
  /** Processes that outlived it and were killed. */
  readonly killed: readonly number[];
  /** Processes that could not be killed. The caller reports them. */
  readonly survivors: readonly number[];
}

/** The part of a process that `terminate` uses. */
export type TerminateTarget = Pick<
  SpawnedProcess,
  'pid' | 'marker' | 'exited' | 'exitedAtUptimeS' | 'signalGroup'
>;

/**
 * Stops a process and everything it started: SIGTERM to its group, SIGKILL after the grace, then a
 * sweep of the processes that left the group. After the exit it only sweeps. May be called twice.
 *
 * Other systems than Linux have no sweep: there, descendants of a leader that exited stay.
 */
export async function terminate(target: TerminateTarget, options: TerminateOptions): Promise<Termination> {
  const forced = !(await exitsGracefully(target, options)) && target.signalGroup('SIGKILL');
  const killed = new Set<number>();
  const sweepAll = async (): Promise<readonly number[]> => {
    const swept = await sweep(target.marker, { scanner: options.scanner });
    for (const pid of swept.killed) killed.add(pid);
    return swept.survivors;
  };

  let gone = await settlesWithin(target.exited, SIGNAL_WAIT_MS);
  if (!gone) {
    await sweepAll();
    // The process may be dead although no exit was reported.
    const dead = supportsSweep() && readMarked(target.pid)?.marker !== target.marker;
    gone = dead || (await settlesWithin(target.exited, KILL_WAIT_MS - SIGNAL_WAIT_MS));
  }
  if (target.exitedAtUptimeS !== null) {
    const leftovers = await killGroupLeftovers(target.pid, target.exitedAtUptimeS, target.marker);
    for (const pid of leftovers) killed.add(pid);
  }
  const survivors = new Set(await sweepAll());
  if (!gone) survivors.add(target.pid);
  return { forced, killed: [...killed], survivors: [...survivors] };
}

/** Sends SIGTERM. Resolves to whether the process exited within the grace. */
async function exitsGracefully(target: TerminateTarget, options: TerminateOptions): Promise<boolean> {
  const { graceMs, force } = options;
  if (target.exitedAtUptimeS !== null) return true;
  if (force?.aborted) return false;
  target.signalGroup('SIGTERM');
  // A stopped process receives SIGTERM only when it continues.
  target.signalGroup('SIGCONT');
  return (await settlesWithin(target.exited, graceMs, force)) || target.exitedAtUptimeS !== null;
}

/** Whether `promise` settles in time. False at once when `signal` aborts. */
function settlesWithin(promise: Promise<unknown>, ms: number, signal?: AbortSignal): Promise<boolean> {
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

/**
 * Sends SIGKILL to the rest of a group whose leader has exited, including members without a marker.
 *
 * The kernel may already have given the leader's number to another group, so the group as a whole
 * is never signalled. It gives a number away only when no process, group or session has it:
 * - If another process has the number, our group has no members left.
 * - If no process has it, a member that started before our leader was reaped is ours. Until then
 *   the number was the leader's, and no living process can join a session that is created later.
 *   (The start time alone proves nothing: a number can be reused in the milliseconds between the
 *   exit and its report.)
 */
async function killGroupLeftovers(
  groupId: number,
  leaderExitedAtUptimeS: number,
  marker: string,
): Promise<readonly number[]> {
  if (!supportsSweep() || !groupExists(groupId)) return [];
  const holder = readStat(groupId);
  // The leader itself may live: a launcher that dies reports an exit for every process it had.
  if (holder !== null && !isDead(holder) && readMarked(groupId)?.marker !== marker) return [];
  const lastTick = Math.floor(leaderExitedAtUptimeS * TICKS_PER_SECOND);
  const killed: number[] = [];
  await visitInSlices(await processIds(), (pid) => {
    const stat = readStat(pid);
    if (stat === null || stat.groupId !== groupId || isDead(stat)) return;
    if (stat.sessionId !== groupId || stat.startTicks > lastTick) return;
    if (killProcess(pid)) killed.push(pid);
  });
  return killed;
}

function groupExists(groupId: number): boolean {
  try {
    return process.kill(-groupId, 0);
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}
