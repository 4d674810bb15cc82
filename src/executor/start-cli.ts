/** Starting the CLI of an execution: a process of its own, or one that waits for just such a prompt. */
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import type { Outage } from '../outage.ts';
import type { Launch } from '../processes/launch.ts';
import { isShortage, spawnProcess } from '../processes/spawn.ts';
import type { SpawnedProcess } from '../processes/spawned-process.ts';
import type { Cut } from '../protocol/cli.ts';
import type { PreparedExecution } from './prepare.ts';

/** How a run got its process: started for it, started before it, or the one that had run its session's last turn. */
export type Start = 'cold' | 'warm' | 'session';

/** A process that has its prompt. */
export interface StartedCli {
  readonly child: SpawnedProcess;
  readonly start: Start;
  /** `performance.now()` when it was started for this run, or got its prompt. */
  readonly since: number;
  /** CPU it had used before. */
  readonly cpuSecondsBefore: number;
  /** Lines it has said since it got its prompt, for whoever reads on. */
  readonly heard: readonly HeardLine[];
  /** The process has ended: what it left behind is ended too, and its scratch folder removed. */
  over(): void;
  /** The turn has ended, and the process may wait for the next one. */
  keep(): void;
}

export interface HeardLine {
  readonly line: string;
  readonly cut: Cut | null;
}

/** @throws AppError when the process cannot be started, or is not to be started any more */
export type StartCli = (prepared: PreparedExecution, stop: AbortSignal) => Promise<StartedCli>;

/**
 * The last look before a spawn: a stop may have come since the claim.
 * @throws AppError execution.cancelled, execution.timed_out, execution.lost
 */
export function refuseIfStopped({ aborted, reason }: AbortSignal): void {
  if (!aborted) return;
  if (reason === 'cancelled')
    throw new AppError('execution.cancelled', 'the job was cancelled before its CLI was started');
  if (reason === 'timed_out')
    throw new AppError('execution.timed_out', 'the CLI could not be started within timeoutMs');
  throw new AppError('execution.lost', 'the server stopped before the CLI was started');
}

/** Does what comes before the spawn while the time of the execution lasts: until its CLI runs, no other clock does. */
export async function inTime<T>(
  timeoutMs: number,
  stop: AbortSignal,
  task: (stop: AbortSignal) => Promise<T>,
): Promise<T> {
  const starting = new AbortController();
  const onStop = (): void => starting.abort(stop.reason);
  const limit = setTimeout(() => starting.abort('timed_out'), timeoutMs);
  if (stop.aborted) onStop();
  else stop.addEventListener('abort', onStop, { once: true });
  try {
    return await task(starting.signal);
  } finally {
    clearTimeout(limit);
    stop.removeEventListener('abort', onStop);
  }
}

/** Rejects as {@link refuseIfStopped} does, as soon as it is stopped. */
export const refusal = (stop: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const refuse = (): void => {
      try {
        refuseIfStopped(stop);
      } catch (error) {
        reject(error);
      }
    };
    refuse();
    stop.addEventListener('abort', refuse, { once: true });
  });

/** A scratch folder with what the command needs in it. */
export async function makeScratch(dir: string, files: Readonly<Record<string, string>> = {}): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(dir, name), content, { mode: 0o600 });
  }
}

/** Starts processes cold, as soon as the machine has what that takes. */
export interface ColdStarts {
  /** Waits while it has not. @throws AppError when the process cannot be started, or is not to be started any more */
  spawn(prepared: PreparedExecution, stop: AbortSignal): Promise<SpawnedProcess>;
  /** What the machine lacks, or null. */
  problem(): string | null;
}

/** That no process, memory, descriptor or disk is left is no fault of the job: it is tried again until it is stopped. */
export function createColdStarts(launch: Launch, outage: Outage): ColdStarts {
  let waiting = 0;

  async function untilStarted(prepared: PreparedExecution, stop: AbortSignal): Promise<SpawnedProcess> {
    for (;;) {
      refuseIfStopped(stop);
      try {
        const scratch = makeScratch(prepared.scratch, prepared.command.files);
        // The folder is the server's own: whatever keeps it from being made (a full disk, most often) is no job's fault.
        const problem = await scratch.then(
          () => null,
          (error: unknown) => `a scratch folder cannot be made: ${messageOf(error)}`,
        );
        if (problem === null) return await spawnCold(prepared, launch, stop);
        outage.failed(problem);
      } catch (error) {
        refuseIfStopped(stop);
        if (!isShortage(error)) throw error;
        outage.failed(messageOf(error));
      }
      await outage.pause(stop);
    }
  }

  return {
    problem: outage.problem,
    async spawn(prepared, stop) {
      waiting += 1;
      try {
        const child = await untilStarted(prepared, stop);
        outage.worked();
        return child;
      } finally {
        waiting -= 1;
        if (waiting === 0) outage.forget();
      }
    },
  };
}

/** A process for this execution alone, whose stdin has its prompt. Its scratch folder is there. */
async function spawnCold(
  prepared: PreparedExecution,
  launch: Launch,
  stop: AbortSignal,
): Promise<SpawnedProcess> {
  const { binary, command, env, cwd, scratch, marker, maxLineBytes, maxTextBytes } = prepared;
  return spawnProcess(
    {
      binary,
      args: command.args,
      env: { ...env, TMPDIR: scratch },
      cwd,
      stdin: (command.opening ?? '') + command.stdin,
      holdStdin: prepared.holdsStdin,
      marker,
      maxLineBytes,
      maxTextBytes,
    },
    launch,
    stop,
  );
}

/**
 * Removes a scratch folder and all in it. A tool may have left folders nobody may write in; that must neither
 * fail an execution nor keep a server from starting, so what cannot be removed is told and left.
 */
export async function removeScratch(dir: string, logger: Logger): Promise<void> {
  try {
    await rm(dir, { recursive: true, force: true });
    return;
  } catch {
    // Most often EACCES: open up what is ours and try once more.
  }
  try {
    await openUp(dir);
    await rm(dir, { recursive: true, force: true });
  } catch (error) {
    logger.warn({ dir, reason: messageOf(error) }, 'a scratch folder could not be removed');
  }
}

async function openUp(dir: string): Promise<void> {
  await chmod(dir, 0o700);
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) await openUp(join(dir, entry.name));
  }
}
