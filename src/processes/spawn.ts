import { isAbsolute } from 'node:path';
import { AppError } from '../errors.ts';
import { type Launch, type LaunchedChild, type LaunchRequest, launchHere } from './launch.ts';
import { MARKER_VARIABLE } from './marker.ts';
import { spawnError } from './spawn-error.ts';
import { type SpawnedProcess, supervise } from './spawned-process.ts';

const DEFAULT_DRAIN_MS = 5000;
const DEFAULT_MAX_LINE_BYTES = 1024 * 1024;
const DEFAULT_MAX_TEXT_BYTES = 1024 * 1024;

/** The environment is whole: nothing is inherited, and only the marker is added. */
export interface SpawnRequest extends LaunchRequest {
  /** Written to stdin. */
  readonly stdin: string;
  /** Whether stdin stays open after it, for `feed`; closed when left out. */
  readonly holdStdin?: boolean;
  /** `<nodeId>/<executionId>`, carried by every process this one starts. */
  readonly marker: string;
  /** A longer line of stdout is shortened or cut; 1 MiB when left out. */
  readonly maxLineBytes?: number;
  /** A text in a shortened line keeps more than this, as far as there is room; 1 MiB when left out. */
  readonly maxTextBytes?: number;
  /** How long stdout and stderr may stay open after the exit; 5000 when left out. */
  readonly drainMs?: number;
}

/**
 * Starts one process in a group of its own. Call `onLine` on it, or its output is never read.
 *
 * @param launch how it is started; a server hands in its launcher
 * @param stop gives the start up
 * @throws AppError `execution.cli_missing`, `cwd.not_allowed`, `execution.resource_limit` or
 * `execution.invalid_request` (a NUL byte) when it cannot be started; `execution.lost` when it is not known whether it was
 */
export async function spawnProcess(
  request: SpawnRequest,
  launch: Launch = launchHere,
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
    maxLineBytes: request.maxLineBytes ?? DEFAULT_MAX_LINE_BYTES,
    maxTextBytes: request.maxTextBytes ?? DEFAULT_MAX_TEXT_BYTES,
    drainMs: request.drainMs ?? DEFAULT_DRAIN_MS,
  });
  spawned.feed(stdin, request.holdStdin ?? false);
  return spawned;
}
