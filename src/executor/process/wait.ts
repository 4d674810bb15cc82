import type { ChildProcess } from 'node:child_process';
import type { Exit } from '../../providers/provider.ts';

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
export function waitForEnd(child: ChildProcess, { drainMs }: WaitOptions): Promise<ProcessEnd> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      const settle = (leakedPipe: boolean): void => {
        clearTimeout(timer);
        child.off('close', onClose);
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve({ code, signal, leakedPipe });
      };
      const onClose = (): void => settle(false);
      const timer = setTimeout(() => settle(true), drainMs);
      child.once('close', onClose);
    });
  });
}
