/** Starting the CLI of an execution: a process of its own, or one that waits for just such a prompt. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../errors.ts';
import type { Cut } from '../providers/cut.ts';
import type { PreparedExecution } from './execution.ts';
import type { Launch } from './process/launch.ts';
import { spawnProcess } from './process/spawn.ts';
import type { SpawnedProcess } from './process/spawned-process.ts';

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
 * @throws AppError execution.cancelled, execution.lost
 */
export function refuseIfStopped({ aborted, reason }: AbortSignal): void {
  if (!aborted) return;
  if (reason === 'cancelled')
    throw new AppError('execution.cancelled', 'the job was cancelled before its CLI was started');
  throw new AppError('execution.lost', 'the server stopped before the CLI was started');
}

/** A scratch folder with what the command needs in it. */
export async function makeScratch(dir: string, files: Readonly<Record<string, string>> = {}): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(dir, name), content, { mode: 0o600 });
  }
}

/** A process for this execution alone, whose stdin has its prompt. */
export async function spawnCold(prepared: PreparedExecution, launch: Launch): Promise<SpawnedProcess> {
  const { binary, command, env, cwd, scratch, marker, maxLineBytes, maxTextBytes } = prepared;
  await makeScratch(scratch, command.files);
  return spawnProcess(
    {
      binary,
      args: command.args,
      env: { ...env, TMPDIR: scratch },
      cwd,
      stdin: command.stdin,
      holdStdin: prepared.staysOpen,
      marker,
      maxLineBytes,
      maxTextBytes,
    },
    launch,
  );
}
