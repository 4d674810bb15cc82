import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { isAbsolute } from 'node:path';
import { AppError } from '../../errors.ts';
import { findSetpriv } from './die-with-parent.ts';
import { MARKER_VARIABLE } from './marker.ts';
import { binaryProblem, spawnError } from './spawn-error.ts';
import { type SpawnedProcess, supervise } from './spawned-process.ts';

const DEFAULT_DRAIN_MS = 5000;
const DEFAULT_MAX_LINE_BYTES = 1024 * 1024;

export interface SpawnRequest {
  /** Absolute path; run without a shell. */
  readonly binary: string;
  readonly args: readonly string[];
  /** The whole environment: nothing is inherited, and only the marker is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Written to stdin, which is then closed. */
  readonly stdin: string;
  /** `<nodeId>/<executionId>`, carried by every process this one starts. */
  readonly marker: string;
  /** Let the kernel kill the child when the server dies; see {@link findSetpriv}. Ignored where it is missing. */
  readonly dieWithParent?: boolean;
  /** A longer line of stdout is cut; 1 MiB when left out. */
  readonly maxLineBytes?: number;
  /** How long stdout and stderr may stay open after the exit; 5000 when left out. */
  readonly drainMs?: number;
}

/**
 * Starts one process in a group of its own. Call `onLine` on it, or its output is never read.
 *
 * @throws AppError `execution.cli_missing`, `cwd.not_allowed`, `execution.resource_limit` or
 * `execution.invalid_request` (a NUL byte) when it cannot be started.
 */
export async function spawnProcess(request: SpawnRequest): Promise<SpawnedProcess> {
  const { binary, cwd, marker, stdin } = request;
  const [command, args] = commandLine(request);
  const startedAt = performance.now();
  let child: ChildProcessWithoutNullStreams;
  try {
    // Some failures are thrown here (E2BIG, ENOTDIR, a NUL byte), others come as an 'error' event (ENOENT …).
    child = spawn(command, args, {
      cwd,
      env: { ...request.env, [MARKER_VARIABLE]: marker },
      detached: true,
      shell: false,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await once(child, 'spawn');
  } catch (error) {
    throw spawnError(error, binary, cwd);
  }
  const { pid } = child;
  if (pid === undefined) throw new AppError('internal.error', 'a spawned process has no id');
  const spawned = supervise(child, {
    pid,
    marker,
    startedAt,
    maxLineBytes: request.maxLineBytes ?? DEFAULT_MAX_LINE_BYTES,
    drainMs: request.drainMs ?? DEFAULT_DRAIN_MS,
  });
  child.stdin.end(stdin);
  return spawned;
}

function commandLine(request: SpawnRequest): [command: string, args: readonly string[]] {
  const { binary, args, dieWithParent = false } = request;
  if (!isAbsolute(binary)) {
    throw new AppError('execution.cli_missing', `the path of the CLI ${binary} is not absolute`);
  }
  const setpriv = dieWithParent ? findSetpriv() : null;
  if (setpriv === null) return [binary, args];
  // setpriv starts well and then fails with 127, which would look like a CLI that crashed: so look first.
  const problem = binaryProblem(binary);
  if (problem !== null) throw new AppError('execution.cli_missing', `the CLI ${binary} ${problem}`);
  return [setpriv, ['--pdeathsig', 'KILL', '--', binary, ...args]];
}
