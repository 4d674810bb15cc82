/** Ctrl-C and its like, for commands that have something to end first. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Interrupts {
  /**
   * Calls back at every signal that asks for the end, with how many there were, until it is disposed of. While
   * nobody listens, a signal ends the process as it does by default.
   */
  listen(onInterrupt: (count: number) => void): Disposable;
  /** Counts as one: the reader of stdout has left. False when nobody listens. */
  raise(): boolean;
}

/** @param target usually `process` */
export function createInterrupts(target: Pick<NodeJS.Process, 'on' | 'off'>): Interrupts {
  const listeners = new Set<() => void>();
  return {
    listen(onInterrupt) {
      let count = 0;
      const hear = (): void => {
        count += 1;
        onInterrupt(count);
      };
      listeners.add(hear);
      for (const signal of SIGNALS) target.on(signal, hear);
      return {
        [Symbol.dispose]() {
          listeners.delete(hear);
          for (const signal of SIGNALS) target.off(signal, hear);
        },
      };
    },
    raise() {
      for (const hear of [...listeners]) hear();
      return listeners.size > 0;
    },
  };
}
