/**
 * Starting a process: the interface that the executor uses, and the messages between the server and
 * its launcher. The launcher's program imports this file, so it must stay small.
 */
import type { ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { Exit } from '../protocol/cli.ts';
import type { TerminalSize } from '../protocol/terminal.ts';

export interface LaunchRequest {
  /**
   * Absolute path, or a name on the PATH of `env`. Runs without a shell, in its own process group.
   */
  readonly binary: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** A real path. If it has become a symbolic link, nothing is started. */
  readonly cwd: string;
  /**
   * Starts it on a pseudo-terminal of this size. What it writes arrives as stdout, what is written
   * to stdin is its input, and stderr stays empty. A variable whose name a shell does not know may
   * be left out. Left out: three streams.
   */
  readonly pty?: TerminalSize;
}

/** A started process, the leader of its own group. The caller must read its streams. */
export interface LaunchedChild {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** null while it runs. */
  readonly exit: Exit | null;
  /** Its launcher is gone, so its exit stays unknown. The process may still run. */
  readonly lost: boolean;
  /** Calls `listener` once, after the exit. */
  onExit(listener: (exit: Exit) => void): void;
  /** Calls `listener` once, after the exit and the end of stdout and stderr. */
  onClose(listener: () => void): void;
  /** Signals the group. Returns false and does nothing after the exit: the id may be reused. */
  signalGroup(signal: NodeJS.Signals): boolean;
  /** With a pseudo-terminal: signals the group in its foreground. As `signalGroup` otherwise. */
  signalForeground(signal: NodeJS.Signals): boolean;
  /** Changes the size of its pseudo-terminal. No effect without one, or after the exit. */
  resize(size: TerminalSize): void;
}

/**
 * Starts a process. Rejects
 * - with the system's error (`code` ENOENT, EAGAIN, …) when the process cannot be started;
 * - with any error when `stop` was aborted before the start;
 * - with AppError `execution.lost` when it is unknown whether the process was started.
 */
export type Launch = (request: LaunchRequest, stop?: AbortSignal) => Promise<LaunchedChild>;

/** Messages to the launcher, over its IPC channel. */
export type ToLauncher =
  | { readonly type: 'launch'; readonly id: number; readonly request: LaunchRequest }
  /** The server has all three streams of this launch. */
  | { readonly type: 'connected'; readonly id: number }
  | { readonly type: 'signal'; readonly id: number; readonly signal: NodeJS.Signals }
  | { readonly type: 'foreground'; readonly id: number; readonly signal: NodeJS.Signals }
  | { readonly type: 'resize'; readonly id: number; readonly size: TerminalSize }
  /** The caller has given up: do not start the process, or kill it. */
  | { readonly type: 'withdraw'; readonly id: number }
  | { readonly type: 'ping' };

/** Messages from the launcher. */
export type FromLauncher =
  /** The launcher reads messages from now on. */
  | { readonly type: 'ready' }
  | { readonly type: 'pong' }
  | { readonly type: 'started'; readonly id: number; readonly pid: number }
  /** The process could not be started. `code` is the system's. */
  | { readonly type: 'refused'; readonly id: number; readonly code: string; readonly message: string }
  | { readonly type: 'exited'; readonly id: number; readonly exit: Exit };

/** First line on each connection a launcher opens: the launch and the stream (0, 1 or 2). */
export const streamHeader = (id: number, fd: number): string => `${id} ${fd}\n`;

/**
 * The line that the launcher writes to its stdout before it forks. A pipe keeps what was written
 * when its writer dies. So a launch without this line was certainly never started.
 */
export const beginLine = (id: number): string => `${id}\n`;

/** `code` of a launch whose process could not be connected with the server. */
export const NO_STREAMS = 'NO_STREAMS';

/** `code` of a launch whose working directory is no longer the requested one. */
export const CWD_GONE = 'CWD_GONE';

const UNUSABLE_PATH: ReadonlySet<string> = new Set([
  'ENOENT',
  'EACCES',
  'EPERM',
  'ENOEXEC',
  'ENOTDIR',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
]);

/** Whether a system error says that a path cannot be used as it is. */
export const isUnusablePath = (code: string): boolean => UNUSABLE_PATH.has(code);

/** The `code` of a system error. An empty string for anything else. */
export const systemCode = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/**
 * Sends SIGKILL to a child, unless it could not be started: for lack of descriptors Node can then
 * send it to process 0, which is this process and its whole group.
 */
export function killChild(child: ChildProcess | undefined): void {
  if (child?.pid !== undefined) child.kill('SIGKILL');
}

/** Signals a process group. False when the group is gone or not ours. */
export function signalGroup(groupId: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(-groupId, signal);
  } catch (error) {
    if (systemCode(error) === 'ESRCH' || systemCode(error) === 'EPERM') return false;
    throw error;
  }
}
