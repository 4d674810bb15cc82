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
 * Treats the loss of stdout, as by `| head`, a full disk or a closed window, as an interrupt. The
 * process exits when the command does not listen for interrupts. The loss of stderr is ignored.
 */
export function watchReaders(
  { stdout, stderr, exit }: Pick<NodeJS.Process, 'stdout' | 'stderr' | 'exit'>,
  interrupts: Interrupts,
) {
  let ignored = false;
  let failed = false;
  stderr.on('error', () => {});
  stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    if (ignored) return;
    ignored = true; // every further write fails, too, and a second interrupt would kill the job
    failed = code !== 'EPIPE';
    if (failed) stderr.write(`bullpen: stdout: ${message}\n`);
    if (!interrupts.raise()) exit(failed ? EXIT.failed : EXIT.readerGone);
  });
  return {
    /** For a command whose stdout is only a log: a line that cannot be written is lost. */
    ignoreLoss(): void {
      ignored = true;
    },
    /** The exit code of a command that has ended: no success if it could not write its result. */
    exitCode: (code: number): number => (failed && code === EXIT.succeeded ? EXIT.failed : code),
  };
}
