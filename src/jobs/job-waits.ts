/** Waits for jobs to end: a message on the responses channel or, as a floor, a look at the record. */
import { parseResponseMessage } from '../protocol/messages.ts';
import type { Doorbells } from '../redis/doorbells.ts';

export interface JobWaits {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** A job is about to be made: remembers whether anything is heard of it. */
  expect(jobId: string): void;
  /** The outcome of a job is on its way to the record: whoever waits looks right behind it. */
  wake(jobId: string): void;
  /** Begins listening for a job's end, before its record is read. */
  listen(jobId: string): JobWait;
}

export interface JobWait extends Disposable {
  /** Nothing has been heard of this job since it was expected: its record need not be read yet. */
  readonly quiet: boolean;
  /** Resolves at the next sign of the job's end, after `ms`, or when `signal` aborts. */
  next(ms: number, signal: AbortSignal): Promise<void>;
}

/** Jobs are expected for the milliseconds until somebody waits for them, or nobody does. */
const MAX_EXPECTED = 1000;

export function createJobWaits(doorbells: Doorbells, channel: string): JobWaits {
  const waiting = new Map<string, Set<() => void>>();
  /** The oldest comes first. */
  const expected = new Set<string>();
  let stopListening: (() => Promise<void>) | null = null;
  const wakeOne = (jobId: string): void => {
    expected.delete(jobId);
    for (const wake of waiting.get(jobId) ?? []) wake();
  };
  const wakeAll = (): void => {
    expected.clear();
    for (const set of waiting.values()) for (const wake of set) wake();
  };
  const forgetResumed = doorbells.onResumed(wakeAll);

  return {
    async start() {
      stopListening ??= await doorbells.listen(channel, (text) => {
        const bell = parseResponseMessage(text);
        if (bell !== null) wakeOne(bell.jobId);
      });
    },
    async stop() {
      forgetResumed();
      wakeAll();
      await stopListening?.();
      stopListening = null;
    },
    expect(jobId) {
      expected.add(jobId);
      const [oldest] = expected;
      if (expected.size > MAX_EXPECTED && oldest !== undefined) expected.delete(oldest);
    },
    wake: wakeOne,
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
        quiet: expected.delete(jobId),
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
