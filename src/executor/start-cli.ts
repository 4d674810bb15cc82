/** Starting the CLI of an execution: the interface, and the start of a new process. */
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import type { Outage } from '../outage.ts';
import type { Launch } from '../processes/launch.ts';
import { isShortage, spawnProcess } from '../processes/spawn.ts';
import type { SpawnedProcess } from '../processes/spawned-process.ts';
import type { Cut } from '../protocol/cli.ts';
import { ABANDONED } from './outcomes.ts';
import type { PreparedExecution } from './prepare.ts';

/**
 * How an execution got its process. `cold`: started for it. `warm`: an idle process from the pool.
 * `session`: the process of its session's last turn.
 */
export type Start = 'cold' | 'warm' | 'session';

/** A process that has its prompt. */
export interface StartedCli {
  readonly child: SpawnedProcess;
  readonly start: Start;
  /** `performance.now()` at its start for this execution, or when it got the prompt. */
  readonly since: number;
  /** CPU time that it had used before. */
  readonly cpuSecondsBefore: number;
  /** Its lines since the prompt. The caller reads the following ones. */
  readonly earlyLines: readonly EarlyLine[];
  /**
   * After the exit: kills everything the process has left running, and removes its scratch folder.
   */
  cleanUp(): void;
  /** After the turn: lets the process wait for the next one. */
  keep(): void;
}

export interface EarlyLine {
  readonly line: string;
  readonly cut: Cut | null;
}

/** @throws AppError when the process cannot be started, or the start was stopped */
export type StartCli = (prepared: PreparedExecution, stop: AbortSignal) => Promise<StartedCli>;

/**
 * Call it just before a spawn: the execution may have been stopped since the claim.
 * @throws AppError execution.cancelled, execution.interrupted, execution.timed_out,
 *   execution.lost
 */
export function refuseIfStopped({ aborted, reason }: AbortSignal): void {
  if (!aborted) return;
  if (reason === 'cancelled')
    throw new AppError('execution.cancelled', 'the job was cancelled before its CLI was started');
  if (reason === 'interrupted')
    throw new AppError('execution.interrupted', 'the turn was interrupted before its CLI was started');
  if (reason === 'timed_out')
    throw new AppError('execution.timed_out', 'the CLI could not be started within timeoutMs');
  if (reason === 'abandoned') throw new AppError('execution.lost', ABANDONED);
  throw new AppError('execution.lost', 'the server stopped before the CLI was started');
}

/** Runs `task` within the execution's timeout. The other deadlines begin when its CLI runs. */
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

/** Rejects when `stop` aborts, with the error of {@link refuseIfStopped}. */
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

/** Starts new processes. Retries while the machine lacks something. */
export interface ColdStarts {
  /** @throws AppError when the process cannot be started, or the start was stopped */
  spawn(prepared: PreparedExecution, stop: AbortSignal): Promise<SpawnedProcess>;
  /** What the machine lacks, or null. */
  problem(): string | null;
}

/** A machine without free processes, memory, descriptors or disk is no fault of the job. */
export function createColdStarts(launch: Launch, outage: Outage): ColdStarts {
  let starting = 0;

  async function spawnWithRetries(prepared: PreparedExecution, stop: AbortSignal): Promise<SpawnedProcess> {
    for (;;) {
      refuseIfStopped(stop);
      try {
        // The folder belongs to the server. Most often a full disk prevents it.
        const problem = await makeScratch(prepared.scratch, prepared.command.files).then(
          () => null,
          (error: unknown) => `a scratch folder cannot be made: ${messageOf(error)}`,
        );
        if (problem === null) return await spawnWithPrompt(prepared, launch, stop);
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
      starting += 1;
      try {
        const child = await spawnWithRetries(prepared, stop);
        outage.worked();
        return child;
      } finally {
        starting -= 1;
        if (starting === 0) outage.forget();
      }
    },
  };
}

function spawnWithPrompt(
  prepared: PreparedExecution,
  launch: Launch,
  stop: AbortSignal,
): Promise<SpawnedProcess> {
  const { binary, command, env, cwd, scratch, marker, maxLineBytes, maxTextBytes } = prepared;
  const request = {
    binary,
    args: command.args,
    env: { ...env, TMPDIR: scratch },
    cwd,
    stdin: (command.opening ?? '') + command.stdin,
    holdStdin: prepared.holdsStdin,
    marker,
    maxLineBytes,
    maxTextBytes,
  };
  return spawnProcess(request, launch, stop);
}

/** Creates a scratch folder with these files. */
export async function makeScratch(dir: string, files: Readonly<Record<string, string>> = {}): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(dir, name), content, { mode: 0o600 });
  }
}

/**
 * Removes a scratch folder and its content. If that fails, it only logs a warning: it must neither
 * fail an execution nor keep a server from starting.
 */
export async function removeScratch(dir: string, logger: Logger): Promise<void> {
  try {
    await rm(dir, { recursive: true, force: true });
    return;
  } catch {
    // Most often EACCES: a tool has left folders without write permission.
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
