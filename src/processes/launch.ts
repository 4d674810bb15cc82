/** Starting a process, and what is left of it to hold: the port, and the way that forks this very process. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, openSync, readlinkSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { AppError } from '../errors.ts';
import type { Exit } from '../protocol/cli.ts';
import { CWD_GONE, cannotStart, systemCode } from './spawn-error.ts';

export interface LaunchRequest {
  /** Absolute path, or a name on the PATH of `env`; run without a shell, in a process group of its own. */
  readonly binary: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** A real path. Where a link stands in it by now, nothing is started. */
  readonly cwd: string;
}

/** A started process, the leader of its own group. Its streams are not read before somebody asks. */
export interface LaunchedChild {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** null while it runs. */
  readonly exit: Exit | null;
  /** Its exit was not seen and never will be: what started it is gone. It may live on. */
  readonly lost: boolean;
  /** Called once, when it has exited. */
  onExit(listener: (exit: Exit) => void): void;
  /** Called once, when it has exited and stdout and stderr have ended. */
  onClose(listener: () => void): void;
  /** Signals the group; false, and nothing done, once the process has been reaped: its number may be reused. */
  signalGroup(signal: NodeJS.Signals): boolean;
}

/**
 * Rejects with the system's error (`code` ENOENT, EAGAIN, …) when the process cannot be started; with anything when `stop`
 * was aborted before it was; with AppError `execution.lost` when it is not known whether it was.
 */
export type Launch = (request: LaunchRequest, stop?: AbortSignal) => Promise<LaunchedChild>;

/** Forks this process. The cost grows with its memory: a server uses a launcher instead. */
export const launchHere: Launch = async (request) => {
  // Some failures are thrown here (E2BIG, ENOTDIR, a NUL byte), others come as an 'error' event (ENOENT …).
  const child = inFolder(request.cwd, (cwd) =>
    spawn(request.binary, [...request.args], {
      cwd,
      env: { ...request.env },
      detached: true,
      shell: false,
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
  );
  await once(child, 'spawn');
  return wrap(child);
};

/** open(2): for a place in the file system, needs no right to read it. Node has no name for it. */
const O_PATH = 0o10000000;
const OPENS_FOLDERS = process.platform === 'linux' && existsSync('/proc/self/fd');

/**
 * Opens the folder a process is to start in, and calls `start` with a path that leads to just this folder, whatever
 * takes its place meanwhile. The path was checked before: a folder that has another real path by now was not, and is
 * refused. Where there is no /proc, the folder is entered by its path.
 * @throws Error with `code` {@link CWD_GONE}
 */
export function inFolder<T>(realPath: string, start: (cwd: string) => T): T {
  if (!OPENS_FOLDERS) return start(realPath);
  const folder = openFolder(realPath);
  try {
    const opened = `/proc/self/fd/${folder}`;
    if (readlinkSync(opened) !== realPath) throw cwdGone(null);
    return start(opened); // the child changes into it before it executes anything, which closes the descriptor
  } finally {
    closeSync(folder);
  }
}

function openFolder(path: string): number {
  try {
    return openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    throw cannotStart(systemCode(error)) ? cwdGone(error) : error;
  }
}

const cwdGone = (cause: unknown): Error =>
  Object.assign(new Error('the working directory was replaced', { cause }), { code: CWD_GONE });

function wrap(child: ChildProcessWithoutNullStreams): LaunchedChild {
  const { pid } = child;
  if (pid === undefined) throw new AppError('internal.error', 'a started process has no id');
  child.on('error', () => {}); // of a signal that could not be sent; the exit tells what became of it
  let exit: Exit | null = null;
  child.once('exit', (code, signal) => {
    exit = { code, signal };
  });
  return {
    pid,
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    get exit() {
      return exit;
    },
    lost: false,
    onExit: (listener) => child.once('exit', (code, signal) => listener({ code, signal })),
    onClose: (listener) => child.once('close', listener),
    // Node reaps in the same turn in which it sets these, so until then the number is the child's for sure.
    signalGroup: (signal) => child.exitCode === null && child.signalCode === null && signalGroup(pid, signal),
  };
}

/** False when the group is gone or not ours. */
export function signalGroup(groupId: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(-groupId, signal);
  } catch (error) {
    if (systemCode(error) === 'ESRCH' || systemCode(error) === 'EPERM') return false;
    throw error;
  }
}
