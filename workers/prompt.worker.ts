/** ③ Runs in BullMQ's sandbox: has one job's prompt executed, over RPC, and waits for its end. */
import './bootstrap.ts';
import { DelayedError, type SandboxedJob, UnrecoverableError } from 'bullmq';
import { createPromptProcessor } from './prompt-processor.ts';

// BullMQ hands it a job only when this has resolved: what keeps a worker from its work is no fault of a job.
const processor = await createPromptProcessor(process.env);

export default async function prompt(
  job: SandboxedJob<{ jobId: string }>,
  token: string,
  signal: AbortSignal,
) {
  const result = await processor(job.data.jobId, signal);
  // What did not succeed has failed in BullMQ too, and is not delivered again: whatever looks at the queue sees it.
  if (result.kind === 'finished' && result.status !== 'succeeded')
    throw new UnrecoverableError(result.status);
  if (result.kind !== 'later') return result;
  await job.moveToDelayed(Date.now() + result.afterMs, token);
  throw new DelayedError();
}
