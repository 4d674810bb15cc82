/**
 * Idle processes that wait for the next turn of their session. A session has at most one, and only
 * if its last turn has left nothing else running.
 */
import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';
import type { ProcScanner } from '../../processes/proc-scanner.ts';
import { listenTo, type SpawnedProcess } from '../../processes/spawned-process.ts';
import { supportsSweep } from '../../processes/sweep.ts';
import { terminate } from '../../processes/terminate.ts';
import type { CliProcess } from '../../protocol/server-info.ts';
import type { PreparedExecution } from '../prepare.ts';
import type { Reaper } from '../reaper.ts';
import { removeScratch } from '../start-cli.ts';
import {
  createIdleProcess,
  type IdleProcess,
  idleIdOf,
  reportIdleProcess,
  type WhichIdle,
} from './idle-process.ts';

/** Grace before SIGKILL. The CLI has saved the session already. */
const GRACE_MS = 2000;
/**
 * When to look for leftovers of a turn. The scan takes a millisecond, so the outcome goes first.
 */
const SCAN_AFTER_MS = 100;

export interface SessionProcessesOptions {
  readonly maxProcesses: number;
  readonly idleMs: number;
  /** Whether the memory allows one more idle process. */
  memoryAllowsOneMore(): boolean;
  readonly scanner: ProcScanner;
  readonly reaper: Pick<Reaper, 'add'>;
  readonly logger: Logger;
}

export interface SessionProcesses {
  /**
   * The process of this job's session, or null. If there is one that cannot run the job, it is
   * stopped before this resolves.
   */
  take(prepared: PreparedExecution): Promise<IdleProcess | null>;
  /** Keeps the process of a turn that has ended, or stops it. */
  keep(prepared: PreparedExecution, child: SpawnedProcess, scratch: string): void;
  size(): number;
  pids(): readonly number[];
  list(): readonly CliProcess[];
  /** Ends some of the processes. Resolves with their number when they are gone. */
  endIdle(which: WhichIdle, force: boolean): Promise<number>;
  stop(): Promise<void>;
}

interface KeptProcess {
  readonly process: IdleProcess;
  /** The execution of its last turn. */
  readonly lastTurn: PreparedExecution;
  /** `performance.now()` */
  readonly since: number;
  readonly timer: NodeJS.Timeout;
  /** Its exit is no longer listened to. */
  readonly release: () => void;
}

export function createSessionProcesses(options: SessionProcessesOptions): SessionProcesses {
  const { maxProcesses, idleMs, memoryAllowsOneMore, scanner, reaper, logger } = options;
  /** By session, the longest idle one first. */
  const kept = new Map<string, KeptProcess>();
  const stops = new Set<Promise<void>>();
  let stopped = false;

  function remove(sessionId: string, one: KeptProcess): void {
    clearTimeout(one.timer);
    one.release();
    kept.delete(sessionId);
  }

  function end({ child, scratch }: IdleProcess, graceMs = GRACE_MS): Promise<void> {
    const ended = terminate(child, { graceMs, scanner })
      .catch((error: unknown) => logger.error({ reason: messageOf(error) }, 'stopping a process failed'))
      .then(() => reaper.add(child.marker, () => removeScratch(scratch, logger)));
    stops.add(ended);
    void ended.finally(() => stops.delete(ended));
    return ended;
  }

  function endKept(sessionId: string, one: KeptProcess, graceMs?: number): void {
    if (kept.get(sessionId) !== one) return;
    remove(sessionId, one);
    void end(one.process, graceMs);
  }

  /**
   * Stops the process if its turn has left something running, which belongs to no job any longer.
   */
  async function endIfLeftovers(sessionId: string, one: KeptProcess): Promise<void> {
    if (!supportsSweep() || kept.get(sessionId) !== one) return;
    const { child } = one.process;
    const found = await scanner.scan();
    if (found.some(({ marker, pid }) => marker === child.marker && pid !== child.pid)) {
      endKept(sessionId, one);
    }
  }

  const hasRoom = (): boolean => kept.size < maxProcesses && memoryAllowsOneMore();

  /** Stops the longest idle process if there is no room. */
  function makeRoom(): boolean {
    const [oldest] = kept;
    if (!hasRoom() && oldest !== undefined) endKept(...oldest);
    return hasRoom();
  }

  return {
    async take(prepared) {
      const { sessionId, shape } = prepared;
      if (sessionId === null) return null;
      const one = kept.get(sessionId);
      if (one === undefined) return null;
      remove(sessionId, one);
      if (one.lastTurn.shape?.key === shape?.key && one.process.isAlive()) return one.process;
      await end(one.process); // two processes must not continue one session
      return null;
    },

    keep(lastTurn, child, scratch) {
      const { sessionId, shape } = lastTurn;
      const process = createIdleProcess({ child, scratch, isReady: null });
      const before = kept.get(sessionId ?? '');
      if (sessionId !== null && before !== undefined) endKept(sessionId, before);
      if (stopped || sessionId === null || shape === null || !makeRoom()) {
        void end(process);
        return;
      }
      const timer = setTimeout(() => endKept(sessionId, one), idleMs).unref();
      const release = listenTo(child.exited, () => endKept(sessionId, one));
      const one: KeptProcess = { process, lastTurn, since: performance.now(), timer, release };
      kept.set(sessionId, one);
      // Its work now belongs to no job and may cost money: no grace.
      process.onUnexpectedLine(() => endKept(sessionId, one, 0));
      setTimeout(() => {
        endIfLeftovers(sessionId, one).catch((error: unknown) => {
          logger.warn({ reason: messageOf(error) }, 'looking for leftovers of a turn failed');
          endKept(sessionId, one);
        });
      }, SCAN_AFTER_MS).unref();
    },

    size: () => kept.size,
    pids: () => [...kept.values()].map(({ process }) => process.child.pid),

    list: () =>
      [...kept].map(([sessionId, { process, lastTurn, since }]) =>
        reportIdleProcess(process, lastTurn, sessionId, since),
      ),

    async endIdle(which, force) {
      const ended = [...kept].filter(([sessionId, { process, lastTurn }]) =>
        which({ id: idleIdOf(process.child.marker), provider: lastTurn.provider.name, sessionId }),
      );
      const ends = ended.map(([sessionId, one]) => {
        remove(sessionId, one);
        return end(one.process, force ? 0 : GRACE_MS);
      });
      await Promise.all(ends);
      return ended.length;
    },

    async stop() {
      stopped = true;
      for (const [sessionId, one] of [...kept]) endKept(sessionId, one);
      await Promise.all(stops);
    },
  };
}
