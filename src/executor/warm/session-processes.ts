/**
 * Processes that have answered a prompt of their session and wait for the next: a turn in one takes what the model
 * takes. One process per session at the most, and nothing else may have been left running in it.
 */
import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';
import type { ProcScanner } from '../../processes/proc-scanner.ts';
import type { SpawnedProcess } from '../../processes/spawned-process.ts';
import { supportsSweep } from '../../processes/sweep.ts';
import { terminate } from '../../processes/terminate.ts';
import type { WaitingProcessReport } from '../../protocol/server-info.ts';
import type { PreparedExecution } from '../prepare.ts';
import type { Reaper } from '../reaper.ts';
import { removeScratch } from '../start-cli.ts';
import type { Taken } from './entry.ts';
import type { Room } from './room.ts';
import type { Place } from './template.ts';
import { createWaitingProcess, type WaitingProcess, waitingReport } from './waiting-process.ts';

/** It has its session on disk already. */
const GRACE_MS = 2000;
/** Looking through /proc takes a millisecond or more: the outcome is told first. */
const LOOK_AFTER_MS = 100;

export interface SessionProcessesOptions {
  readonly idleMs: number;
  readonly room: Room;
  readonly scanner: ProcScanner;
  readonly reaper: Pick<Reaper, 'add'>;
  readonly logger: Logger;
}

export interface SessionProcesses {
  /** The process of this job's session, if it can run the job. One that cannot is ended before this resolves. */
  take(prepared: PreparedExecution): Promise<Taken | null>;
  /** A turn has ended: its process may wait for the next one. */
  keep(prepared: PreparedExecution, child: SpawnedProcess, place: Place): void;
  size(): number;
  list(): readonly WaitingProcessReport[];
  stop(): Promise<void>;
}

interface Resting {
  readonly key: string;
  readonly process: WaitingProcess;
  readonly place: Place;
  readonly timer: NodeJS.Timeout;
  /** The execution whose turn was the last. */
  readonly of: PreparedExecution;
  readonly since: number;
}

export function createSessionProcesses(options: SessionProcessesOptions): SessionProcesses {
  const { room, scanner, logger } = options;
  const resting = new Map<string, Resting>();
  const endings = new Set<Promise<void>>();
  let stopped = false;

  function takeOut(sessionId: string, one: Resting): void {
    clearTimeout(one.timer);
    resting.delete(sessionId);
    room.remove(one.process);
  }

  function end({ process, place }: Taken, graceMs = GRACE_MS): Promise<void> {
    const ended = terminate(process.child, { graceMs, scanner })
      .catch((error: unknown) => logger.error({ reason: messageOf(error) }, 'ending a process failed'))
      .then(() => options.reaper.add(place.marker, () => removeScratch(place.scratch, logger)));
    endings.add(ended);
    void ended.finally(() => endings.delete(ended));
    return ended;
  }

  function endResting(sessionId: string, one: Resting, graceMs?: number): void {
    if (resting.get(sessionId) !== one) return;
    takeOut(sessionId, one);
    void end(one, graceMs);
  }

  /** What a turn has left running would go on for nobody: then the process does not stay. */
  async function lookForOthers(sessionId: string, one: Resting): Promise<void> {
    if (!supportsSweep() || resting.get(sessionId) !== one) return;
    const { child } = one.process;
    const found = await scanner.scan();
    if (found.some(({ marker, pid }) => marker === one.place.marker && pid !== child.pid)) {
      endResting(sessionId, one);
    }
  }

  /** Whether one more fits, if need be in the place of the one that has waited longest. */
  function makeRoom(): boolean {
    const [oldest] = resting;
    if (!room.free() && oldest !== undefined) endResting(...oldest);
    return room.free();
  }

  return {
    async take(prepared) {
      const { sessionId, shape } = prepared;
      if (sessionId === null) return null;
      const one = resting.get(sessionId);
      if (one === undefined) return null;
      takeOut(sessionId, one);
      if (one.key === shape?.key && one.process.alive()) return one;
      await end(one); // two processes must not go on with one session
      return null;
    },

    keep(of, child, place) {
      const { sessionId, shape } = of;
      const process = createWaitingProcess(child, null);
      const before = resting.get(sessionId ?? '');
      if (sessionId !== null && before !== undefined) endResting(sessionId, before);
      if (stopped || sessionId === null || shape === null || !makeRoom()) {
        void end({ process, place });
        return;
      }
      const timer = setTimeout(() => endResting(sessionId, one), options.idleMs).unref();
      const one: Resting = { key: shape.key, process, place, timer, of, since: performance.now() };
      resting.set(sessionId, one);
      room.add(process);
      room.measure(process, child.pid);
      // What it does now is for no job and may cost: it gets no time to go on.
      process.onUnasked(() => endResting(sessionId, one, 0));
      void child.exited.then(() => endResting(sessionId, one));
      setTimeout(() => {
        lookForOthers(sessionId, one).catch((error: unknown) => {
          logger.warn({ reason: messageOf(error) }, 'looking for what a turn left running failed');
          endResting(sessionId, one);
        });
      }, LOOK_AFTER_MS).unref();
    },

    size: () => resting.size,

    list: () =>
      [...resting].map(([sessionId, { process, of, since }]) => waitingReport(process, of, sessionId, since)),

    async stop() {
      stopped = true;
      for (const [sessionId, one] of [...resting]) endResting(sessionId, one);
      await Promise.all(endings);
    },
  };
}
