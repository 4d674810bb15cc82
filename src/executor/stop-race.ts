/** Stops one running CLI. The first reason is recorded, and later ones are ignored. */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { listenTo, type ProcessEnd, type SpawnedProcess } from '../processes/spawned-process.ts';
import { type Termination, terminate } from '../processes/terminate.ts';

export type StopReason =
  | 'cancelled'
  | 'interrupted'
  | 'approval_expired'
  | 'shutdown'
  | 'launcher_died'
  | 'fenced'
  | 'abandoned'
  | 'timed_out'
  | 'idle'
  | 'output_limit'
  | 'resource_limit'
  | 'max_turns'
  | 'budget'
  | 'day_spent'
  | 'hopeless'
  | 'asks_login'
  | 'lingered';

export interface Stop {
  readonly reason: StopReason;
  /** What exactly happened, where the reason does not say it. */
  readonly detail: string | null;
}

export interface StopRace {
  /** Null until the process is stopped. */
  readonly stopped: Stop | null;
  /**
   * Terminates the process and everything it started. Returns false, and does nothing, after the
   * first call.
   */
  stop(reason: StopReason, detail: string | null): boolean;
  /** Resolves when the process has exited and its output is closed. Never rejects. */
  readonly ended: Promise<ProcessEnd>;
  /** The run is over. Resolves when a termination that was begun has finished. */
  finish(): Promise<void>;
}

/** Output that is still open this long after the exit is held open by another process. */
const LEAK_AFTER_MS = 1000;

export function createStopRace(options: {
  readonly child: SpawnedProcess;
  readonly executionId: string;
  readonly graceMs: number;
  /** Skips the grace. */
  readonly force: AbortSignal;
  readonly scanner: ProcScanner;
  /** A process that the CLI started keeps the CLI's output open. It is killed after this. */
  onLeak(): void;
  readonly logger: Logger;
}): StopRace {
  const { child, executionId, graceMs, force, scanner, logger } = options;
  const ended = Promise.withResolvers<ProcessEnd>();
  let stopped: Stop | null = null;
  let termination: Promise<Termination> | null = null;
  let leak: NodeJS.Timeout | undefined;

  async function end(how: { graceMs: number; force?: AbortSignal }): Promise<Termination> {
    try {
      const done = await terminate(child, {
        graceMs: how.graceMs,
        scanner,
        ...(how.force && { force: how.force }),
      });
      // The kernel could not kill it (a dead mount), or the launcher hangs and reports no exit. Its
      // slot is free.
      if (child.exitedAtUptimeS === null) ended.resolve({ code: null, signal: 'SIGKILL', leakedPipe: true });
      return done;
    } catch (error) {
      logger.error({ executionId, reason: messageOf(error) }, 'terminating a process failed');
      return { forced: true, killed: [], survivors: [] };
    }
  }

  const releases = [
    listenTo(child.exited, () => {
      leak = setTimeout(() => {
        options.onLeak();
        termination ??= end({ graceMs: 0 });
      }, LEAK_AFTER_MS);
    }),
    listenTo(child.ended, ended.resolve),
  ];

  return {
    get stopped() {
      return stopped;
    },
    stop(reason, detail) {
      if (stopped !== null) return false;
      stopped = { reason, detail };
      termination = end({ graceMs, force });
      return true;
    },
    ended: ended.promise,
    async finish() {
      for (const release of releases) release();
      clearTimeout(leak);
      const survivors = (await termination)?.survivors ?? [];
      if (survivors.length > 0) {
        logger.error({ executionId, pids: survivors }, 'processes survived their execution');
      }
    },
  };
}
