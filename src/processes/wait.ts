import type { Exit } from '../protocol/cli.ts';
import type { LaunchedChild } from './launch.ts';

/** How a process ended and whether its output ended with it. */
export interface ProcessEnd extends Exit {
  /** Something that outlived the process still held stdout or stderr when the drain was given up. */
  readonly leakedPipe: boolean;
}

export interface WaitOptions {
  /** How long after the exit stdout and stderr may stay open. */
  readonly drainMs: number;
}

/**
 * Waits for the exit, then for the end of stdout and stderr, at most `drainMs`; then destroys both. `close`
 * alone may never come: a grandchild that inherited a pipe holds it open. Never rejects.
 */
export function waitForEnd(
  child: Pick<LaunchedChild, 'onExit' | 'onClose' | 'stdout' | 'stderr'>,
  { drainMs }: WaitOptions,
): Promise<ProcessEnd> {
  return new Promise((resolve) => {
    child.onExit(({ code, signal }) => {
      let settled = false;
      const settle = (leakedPipe: boolean): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({ code, signal, leakedPipe });
      };
      const timer = setTimeout(() => settle(true), drainMs);
      child.onClose(() => settle(false));
    });
  });
}
