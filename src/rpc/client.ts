/**
 * The worker's side of the RPC. Subscribe, await the acknowledgement, *then* submit; then a message or, as a
 * floor, a look at the record. It has no deadline of its own: the executor's limits end every execution.
 */
import { isRedisTrouble } from '../errors.ts';
import { type Failpoint, noFailpoint } from '../failpoint.ts';
import type { JobStatus } from '../protocol/job.ts';
import { parseResponseMessage } from '../protocol/messages.ts';
import type { Submissions, SubmitResult } from '../records/ports.ts';
import type { Doorbells } from '../redis/doorbells.ts';

export type RunResult =
  | { readonly kind: 'gone' }
  | { readonly kind: 'finished'; readonly status: JobStatus }
  /** Ask again after so long: its time has not come, or another job of its session or key is ahead. */
  | { readonly kind: 'later'; readonly afterMs: number };

export interface RpcClient {
  start(): Promise<void>;
  stop(): Promise<void>;
  /**
   * Has a job's current attempt executed and waits for its end. Asking again attaches to what is under way.
   * @param signal ends the waiting, never the execution
   */
  run(jobId: string, signal: AbortSignal): Promise<RunResult>;
}

export interface RpcClientOptions {
  readonly submissions: Submissions;
  readonly doorbells: Doorbells;
  readonly channel: string;
  /** Mints the id of the execution this call would start. */
  newExecutionId(): string;
  /** Between looks at the record while nothing is heard. */
  readonly pollMs: number;
  /** How long a parked job leaves its worker to others. */
  readonly parkedMs: number;
  readonly failpoint?: Failpoint;
}

export function createRpcClient(options: RpcClientOptions): RpcClient {
  const { submissions, doorbells, failpoint = noFailpoint } = options;
  const waiting = new Map<string, Set<() => void>>();
  const wakeAll = (): void => {
    for (const set of waiting.values()) for (const wake of set) wake();
  };
  let listening: Promise<() => Promise<void>> | null = null;
  const forgetResumed = doorbells.onResumed(wakeAll);

  /** Resolves at the next message about the job, after `pollMs`, or when `signal` aborts. */
  function nextRing(jobId: string, signal: AbortSignal): { rung: Promise<void>; forget: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const set = waiting.get(jobId) ?? new Set();
    waiting.set(jobId, set);
    set.add(resolve);
    const timer = setTimeout(resolve, options.pollMs);
    const onAbort = (): void => resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    const forget = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      set.delete(resolve);
      if (set.size === 0) waiting.delete(jobId);
    };
    return { rung: promise, forget };
  }

  async function submitted(jobId: string): Promise<SubmitResult | null> {
    try {
      return await submissions.submit(jobId, options.newExecutionId());
    } catch (error) {
      if (isRedisTrouble(error)) return null;
      throw error;
    }
  }

  const client: RpcClient = {
    async start() {
      listening ??= doorbells.listen(options.channel, (text) => {
        const bell = parseResponseMessage(text);
        if (bell === null) return;
        for (const wake of waiting.get(bell.jobId) ?? []) wake();
      });
      try {
        await listening;
      } catch (error) {
        listening = null; // whoever asks next tries again
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

    async run(jobId, signal) {
      await client.start();
      for (;;) {
        signal.throwIfAborted();
        const { rung, forget } = nextRing(jobId, signal);
        try {
          await failpoint('rpc.listening');
          const result = await submitted(jobId);
          if (result === null) {
            await rung; // Redis takes nothing now: the delivery is as good as any other, so it is kept
            continue;
          }
          switch (result.kind) {
            case 'gone':
            case 'finished':
              await failpoint('rpc.finished');
              return result;
            case 'early':
              return { kind: 'later', afterMs: result.dueInMs };
            case 'parked':
              return { kind: 'later', afterMs: options.parkedMs };
            case 'underway':
              await failpoint('rpc.submitted');
              await rung;
          }
        } finally {
          forget();
        }
      }
    },
  };
  return client;
}
