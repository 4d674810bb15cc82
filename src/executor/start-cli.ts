/** Starts the CLI of an execution in a process of its own. */
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

/**
 * How a run got its process: started for it, started ahead, or kept from its session's last turn.
 */
export type Start = 'cold' | 'warm' | 'session';

/** A process that has its prompt. */
export interface StartedCli {
  readonly child: SpawnedProcess;
  readonly start: Start;
  /** `performance.now()` when it was started for this run, or got its prompt. */
  readonly since: number;
  /** CPU time that it had used before. */
  readonly cpuSecondsBefore: number;
  /** Lines that it has written since it got its prompt. */
  readonly heard: readonly HeardLine[];
  /** The process has ended. Kills the processes it left running and removes its scratch folder. */
  over(): void;
  /** The turn has ended. Keeps the process for the next turn. */
  keep(): void;
}

export interface HeardLine {
  readonly line: string;
  readonly cut: Cut | null;
}

/** @throws AppError when the process cannot be started, or the execution was stopped */
export type StartCli = (prepared: PreparedExecution, stop: AbortSignal) => Promise<StartedCli>;

/**
 * The last check before a spawn: the execution may have been stopped since the claim.
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

/**
 * Runs a task before the spawn within the execution's timeout. Its own clocks start with its CLI.
 */
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

/** Rejects like {@link refuseIfStopped} when the signal aborts. */
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

/** Makes a scratch folder with the files that the command needs. */
export async function makeScratch(dir: string, files: Readonly<Record<string, string>> = {}): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(dir, name), content, { mode: 0o600 });
  }
}

/** Starts processes as soon as the machine has the resources. */
export interface ColdStarts {
  /**
   * Waits while the machine lacks resources.
   * @throws AppError when the process cannot be started, or the execution was stopped
   */
  spawn(prepared: PreparedExecution, stop: AbortSignal): Promise<SpawnedProcess>;
  /** The resource that the machine lacks, or null. */
  problem(): string | null;
}

/**
 * A lack of processes, memory, descriptors or disk space is no fault of the job: the start is
 * retried until the execution is stopped.
 */
export function createColdStarts(launch: Launch, outage: Outage): ColdStarts {
  let waiting = 0;

  async function untilStarted(prepared: PreparedExecution, stop: AbortSignal): Promise<SpawnedProcess> {
    for (;;) {
      refuseIfStopped(stop);
      try {
        const scratch = makeScratch(prepared.scratch, prepared.command.files);
        // The folder belongs to the server, so an error (usually a full disk) is no fault of the
        // job.
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

/** Starts a process with the prompt on stdin. The scratch folder exists already. */
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
 * Removes a scratch folder. A tool may have left folders without write permission in it. What
 * cannot be removed is logged: it must neither fail an execution nor the start of a server.
 */
export async function removeScratch(dir: string, logger: Logger): Promise<void> {
  try {
    await rm(dir, { recursive: true, force: true });
    return;
  } catch {
    // Usually EACCES: change the permissions of the folders and try once more.
  }
  try {
    await makeWritable(dir);
    await rm(dir, { recursive: true, force: true });
  } catch (error) {
    logger.warn({ dir, reason: messageOf(error) }, 'a scratch folder could not be removed');
  }
}

async function makeWritable(dir: string): Promise<void> {
  await chmod(dir, 0o700);
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) await makeWritable(join(dir, entry.name));
  }
}
