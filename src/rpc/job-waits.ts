/**
 * Waits for jobs to end, for HTTP and for the worker: a message on the responses channel wakes the
 * waiter, which then reads the record. The waiter also reads it after a poll interval, because a
 * message may be lost.
 */
import { parseResponseMessage } from '../protocol/response-bell.ts';
import type { Doorbells } from '../redis/doorbells.ts';

export interface JobWaits {
  /** Subscribes to the channel. Idempotent; after a failure the next call tries again. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Wakes everyone who waits for this job. */
  wake(jobId: string): void;
  /** Begins to listen for a job's end. Call it before the record is read. */
  listen(jobId: string): JobWait;
}

export interface JobWait extends Disposable {
  /**
   * Resolves at the next sign of the job's end, after `ms`, or when `signal` aborts. A sign that
   * came since `listen` or since the last `next` counts.
   */
  next(ms: number, signal: AbortSignal): Promise<void>;
}

/** @param channel where outcomes are announced */
export function createJobWaits(doorbells: Doorbells, channel: string): JobWaits {
  const waiting = new Map<string, Set<() => void>>();
  let listening: Promise<() => Promise<void>> | null = null;

  const wake = (jobId: string): void => {
    for (const wakeOne of waiting.get(jobId) ?? []) wakeOne();
  };
  const wakeAll = (): void => [...waiting.keys()].forEach(wake);
  const forgetResumed = doorbells.onResumed(wakeAll);

  return {
    async start() {
      listening ??= doorbells.listen(channel, (text) => {
        const message = parseResponseMessage(text);
        if (message !== null) wake(message.jobId);
      });
      try {
        await listening;
      } catch (error) {
        listening = null;
        throw error;
      }
    },

    async stop() {
      forgetResumed();
      const stopListening = await listening;
      listening = null;
      wakeAll();
      await stopListening?.();
    },

    wake,

    listen(jobId) {
      const wakers = waiting.get(jobId) ?? new Set();
      waiting.set(jobId, wakers);
      let rung = false;
      let resolveNext: (() => void) | null = null;
      const wakeThis = (): void => {
        rung = true;
        resolveNext?.();
      };
      wakers.add(wakeThis);
      return {
        async next(ms, signal) {
          if (!rung && !signal.aborted) {
            const { promise, resolve } = Promise.withResolvers<void>();
            const onAbort = (): void => resolve();
            resolveNext = resolve;
            const timer = setTimeout(resolve, ms);
            signal.addEventListener('abort', onAbort, { once: true });
            await promise;
            clearTimeout(timer);
            signal.removeEventListener('abort', onAbort);
          }
          rung = false;
        },
        [Symbol.dispose]() {
          wakers.delete(wakeThis);
          if (wakers.size === 0) waiting.delete(jobId);
        },
      };
    },
  };
}
