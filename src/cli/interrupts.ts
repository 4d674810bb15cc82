/** Signals that ask a command to end, and readers that leave before the end. */
import { EXIT } from './failures.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Interrupts {
  /**
   * Calls back at every interrupt with their number so far, until it is disposed of. Without a
   * listener a signal ends the process, as it does by default.
   */
  listen(onInterrupt: (count: number) => void): Disposable;
  /** Interrupts without a signal. False when there is no listener. */
  raise(): boolean;
}

/** @param target usually `process` */
export function createInterrupts(target: Pick<NodeJS.Process, 'on' | 'off'>): Interrupts {
  const listeners = new Set<() => void>();
  return {
    listen(onInterrupt) {
      let count = 0;
      const listener = (): void => {
        count += 1;
        onInterrupt(count);
      };
      listeners.add(listener);
      for (const signal of SIGNALS) target.on(signal, listener);
      return {
        [Symbol.dispose]() {
          listeners.delete(listener);
          for (const signal of SIGNALS) target.off(signal, listener);
        },
      };
    },
    raise() {
      for (const listener of [...listeners]) listener();
      return listeners.size > 0;
    },
  };
}

/**
 * Treats the loss of the reader of stdout, as by `| head`, as an interrupt. The process exits when
 * the command does not listen for interrupts. The loss of the reader of stderr is ignored.
 */
export function watchReaders(
  { stdout, stderr, exit }: Pick<NodeJS.Process, 'stdout' | 'stderr' | 'exit'>,
  interrupts: Interrupts,
): { ignoreLoss(): void } {
  let ignored = false;
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (!ignored && !interrupts.raise()) exit(EXIT.readerGone);
    ignored = true; // every further write fails, too, and a second interrupt would kill the job
  });
  stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  return {
    /** For a command whose stdout is only a log. */
    ignoreLoss() {
      ignored = true;
    },
  };
}
