import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { AppError, messageOf } from '../errors.ts';
import {
  CWD_GONE,
  isUnusablePath,
  type Launch,
  type LaunchedChild,
  type LaunchRequest,
  NO_STREAMS,
  systemCode,
} from './launch.ts';
import { MARKER_VARIABLE } from './proc-entry.ts';
import { type SpawnedProcess, supervise } from './spawned-process.ts';

const DEFAULT_DRAIN_MS = 5000;

/** `env` is the whole environment except the marker. */
export interface SpawnRequest extends LaunchRequest {
  /** Written to stdin. */
  readonly stdin: string;
  /** Keeps stdin open for `feed`. Else it is closed after `stdin`. */
  readonly holdStdin: boolean;
  /** `<nodeId>/<executionId>`, inherited by every process this one starts. */
  readonly marker: string;
  /** A longer line of stdout is shortened or cut. */
  readonly maxLineBytes: number;
  /** A text in a shortened line keeps more than this, as far as there is room. */
  readonly maxTextBytes: number;
  /** How long stdout and stderr may stay open after the exit. Default: 5000. */
  readonly drainMs?: number;
}

/**
 * Starts one process in its own group. Call `onLine` on the result: until then its output is not
 * read.
 *
 * @param stop gives up the start
 * @throws AppError when the process cannot be started: `execution.cli_missing`, `cwd.not_allowed`,
 * `execution.resource_limit` or `execution.invalid_request` (a NUL byte). `execution.lost` when it
 * is unknown whether it was started.
 */
export async function spawnProcess(
  request: SpawnRequest,
  launch: Launch,
  stop?: AbortSignal,
): Promise<SpawnedProcess> {
  const { binary, args, cwd, marker, stdin } = request;
  if (!isAbsolute(binary)) {
    throw new AppError('execution.cli_missing', `the path of the CLI ${binary} is not absolute`);
  }
  const startedAt = performance.now();
  let child: LaunchedChild;
  try {
    child = await launch({ binary, args, cwd, env: { ...request.env, [MARKER_VARIABLE]: marker } }, stop);
  } catch (error) {
    throw error instanceof AppError ? error : spawnError(error, binary, cwd);
  }
  const spawned = supervise(child, {
    marker,
    startedAt,
    maxLineBytes: request.maxLineBytes,
    maxTextBytes: request.maxTextBytes,
    drainMs: request.drainMs ?? DEFAULT_DRAIN_MS,
  });
  spawned.feed(stdin, request.holdStdin);
  return spawned;
}

/** What is missing, by the `code` of a failed launch. */
const RESOURCE: Readonly<Record<string, string>> = {
  EAGAIN: 'the limit of processes is reached',
  EMFILE: 'the server has too many open files',
  ENFILE: 'the machine has too many open files',
  ENOMEM: 'the machine is out of memory',
  E2BIG: 'its arguments and environment are too large',
  ETXTBSY: 'its file is being written',
  [NO_STREAMS]: 'the launcher cannot connect to the server',
};

/** The machine lacks something, for every job. The same start may succeed later. */
const SHORTAGES: ReadonlySet<string> = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', NO_STREAMS]);

/** Whether a start failed because the machine lacked something. */
export const isShortage = (error: unknown): boolean =>
  SHORTAGES.has(systemCode(error instanceof AppError ? error.cause : error));

/**
 * The AppError for a failed spawn. Linux reports ENOENT for a missing binary, a missing working
 * directory and a missing interpreter, so this function checks the file system. It runs only after
 * a failure, so it is synchronous.
 */
export function spawnError(error: unknown, binary: string, cwd: string): AppError {
  const code = systemCode(error);
  if (isUnusablePath(code) || code === CWD_GONE) {
    const reason = cwdProblem(cwd) ?? (code === CWD_GONE ? 'was replaced before the CLI was started' : null);
    if (reason !== null) {
      return new AppError('cwd.not_allowed', `the working directory ${cwd} ${reason}`, { cause: error });
    }
    const problem =
      binaryProblem(binary) ??
      `cannot be started (${code}); if it is a script, its interpreter may be missing`;
    return new AppError('execution.cli_missing', `the CLI ${binary} ${problem}`, { cause: error });
  }
  if (Object.hasOwn(RESOURCE, code)) {
    const message = `the CLI ${binary} cannot be started: ${RESOURCE[code]}`;
    return new AppError('execution.resource_limit', message, { cause: error });
  }
  if (code === 'ERR_INVALID_ARG_VALUE') {
    return new AppError('execution.invalid_request', 'an argument or variable of the CLI holds a NUL byte', {
      cause: error,
    });
  }
  return new AppError('internal.error', `the CLI ${binary} cannot be started: ${messageOf(error)}`, {
    cause: error,
  });
}

/** Why `binary` cannot be executed, or null when its file looks fine. */
function binaryProblem(binary: string): string | null {
  try {
    if (!statSync(binary).isFile()) return 'is not a file';
    accessSync(binary, constants.X_OK);
    return null;
  } catch (error) {
    return systemCode(error) === 'EACCES' ? 'is not executable' : 'does not exist';
  }
}

function cwdProblem(cwd: string): string | null {
  try {
    if (!statSync(cwd).isDirectory()) return 'is not a directory';
    accessSync(cwd, constants.X_OK);
    return null;
  } catch (error) {
    return systemCode(error) === 'EACCES' ? 'cannot be entered' : 'does not exist';
  }
}
