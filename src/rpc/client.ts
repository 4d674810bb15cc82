/**
 * ④ The worker's side of the RPC. It subscribes, waits for the acknowledgement, and only then
 * submits. After each message and each poll interval it submits again, which also returns the job's
 * state. It has no deadline of its own: the executor's limits end every execution.
 */
import { isRedisTrouble } from '../errors.ts';
import { type Failpoint, noFailpoint } from '../failpoint.ts';
import type { JobStatus } from '../protocol/job.ts';
import type { Submissions, SubmitResult } from '../records/submissions.ts';
import type { JobWaits } from './job-waits.ts';

/** BullMQ's entry of a job that waits for its turn is delayed until then, and promoted before. */
export const UNTIL_PROMOTED = Date.UTC(2038, 0, 1);

export type RunResult =
  | { readonly kind: 'gone' }
  | { readonly kind: 'finished'; readonly status: JobStatus }
  /** It must not run now. BullMQ delivers it after so long; null: when it is promoted. */
  | { readonly kind: 'later'; readonly afterMs: number | null };

export interface RpcClientOptions {
  readonly submissions: Submissions;
  readonly waits: JobWaits;
  /** Makes the id of the execution that this call would start. */
  newExecutionId(): string;
  /** Longest time between two reads of the record. */
  readonly pollMs: number;
  readonly failpoint?: Failpoint;
}

/**
 * Returns `run`: has a job's current attempt executed and waits for its end. A second call for the
 * same job waits for the execution that is under way. `signal` ends the waiting, never the
 * execution.
 */
export function createRpcClient({
  submissions,
  waits,
  newExecutionId,
  pollMs,
  failpoint = noFailpoint,
}: RpcClientOptions): (jobId: string, signal: AbortSignal) => Promise<RunResult> {
  return async (jobId, signal) => {
    await waits.start();
    using wait = waits.listen(jobId);
    for (;;) {
      signal.throwIfAborted();
      await failpoint('rpc.listening');
      const result = await submit(submissions, jobId, newExecutionId());
      switch (result?.kind) {
        case 'gone':
        case 'finished':
          await failpoint('rpc.finished');
          return result;
        case 'later':
          await failpoint('rpc.later');
          return result;
        case 'underway':
          await failpoint('rpc.submitted');
      }
      await wait.next(pollMs, signal);
    }
  };
}

/** Null: Redis takes no commands now. The worker keeps the delivery and submits again. */
async function submit(
  submissions: Submissions,
  jobId: string,
  executionId: string,
): Promise<SubmitResult | null> {
  try {
    return await submissions.submit(jobId, executionId);
  } catch (error) {
    if (isRedisTrouble(error)) return null;
    throw error;
  }
}
