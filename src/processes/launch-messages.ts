/** What the server and its launcher say to each other over the launcher's IPC channel. */
import type { Exit } from '../protocol/cli.ts';
import type { LaunchRequest } from './launch.ts';

export type ToLauncher =
  | { readonly type: 'launch'; readonly id: number; readonly request: LaunchRequest }
  | { readonly type: 'signal'; readonly id: number; readonly signal: NodeJS.Signals }
  /** The caller has given up: do not start it, or kill it. */
  | { readonly type: 'withdraw'; readonly id: number }
  | { readonly type: 'ping' };

export type FromLauncher =
  /** It takes messages. */
  | { readonly type: 'ready' }
  | { readonly type: 'pong' }
  | { readonly type: 'started'; readonly id: number; readonly pid: number }
  /** It could not be started; `code` is the system's. */
  | { readonly type: 'refused'; readonly id: number; readonly code: string; readonly message: string }
  | { readonly type: 'exited'; readonly id: number; readonly exit: Exit };

/** First line on each connection a launcher opens: which process, and which of its three streams. */
export const streamHeader = (id: number, fd: number): string => `${id} ${fd}\n`;

/**
 * Written to the launcher's stdout before it forks: a pipe keeps what was written when its writer dies. What a launcher
 * that died has not begun was never started, for certain.
 */
export const beginLine = (id: number): string => `${id}\n`;
