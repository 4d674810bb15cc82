/** Waits for jobs to end: a message on the responses channel or, as a floor, a look at the record. */
import { parseResponseMessage } from '../protocol/messages.ts';
import type { Doorbells } from '../rpc/ports.ts';

export interface JobWaits {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Begins listening for a job's end, before its record is read. */
  listen(jobId: string): JobWait;
}

export interface JobWait extends Disposable {
  /** Resolves at the next sign of the job's end, after `ms`, or when `signal` aborts. */
  next(ms: number, signal: AbortSignal): Promise<void>;
}

export function createJobWaits(doorbells: Doorbells, channel: string): JobWaits {
  const waiting = new Map<string, Set<() => void>>();
  let stopListening: (() => Promise<void>) | null = null;
  const wakeAll = (): void => {
    for (const set of waiting.values()) for (const wake of set) wake();
  };
  const forgetResumed = doorbells.onResumed(wakeAll);

  return {
    async start() {
      stopListening ??= await doorbells.listen(channel, (text) => {
        const bell = parseResponseMessage(text);
        if (bell !== null) for (const wake of waiting.get(bell.jobId) ?? []) wake();
      });
    },
    async stop() {
      forgetResumed();
      wakeAll();
      await stopListening?.();
      stopListening = null;
    },
    listen(jobId) {
      const set = waiting.get(jobId) ?? new Set();
      waiting.set(jobId, set);
      let rung = false;
      let resolveNext: (() => void) | null = null;
      const wake = (): void => {
        rung = true;
        resolveNext?.();
      };
      set.add(wake);
      return {
        async next(ms, signal) {
          if (rung || signal.aborted) {
            rung = false;
            return;
          }
          const { promise, resolve } = Promise.withResolvers<void>();
          resolveNext = resolve;
          const timer = setTimeout(resolve, ms);
          signal.addEventListener('abort', () => resolve(), { once: true });
          await promise;
          clearTimeout(timer);
          rung = false;
        },
        [Symbol.dispose]() {
          set.delete(wake);
          if (set.size === 0) waiting.delete(jobId);
        },
      };
    },
  };
}
