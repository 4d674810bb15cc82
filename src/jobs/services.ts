import { AppError } from '../errors.ts';
import type { Batches, Jobs } from '../http/ports.ts';
import type { PromptRequest } from '../protocol/prompt.ts';
import type { BatchRecords } from '../records/batch-ports.ts';
import { createBatchService } from './batch-service.ts';
import { createJobService, type JobServiceOptions } from './job-service.ts';
import { createCallResolver, type ResolvePromptOptions, resolvePrompt } from './resolve-prompt.ts';

export interface ServicesOptions extends Omit<JobServiceOptions, 'resolve' | 'admit'> {
  readonly batchRecords: BatchRecords;
  readonly resolving: ResolvePromptOptions;
  readonly maxQueued: number;
  /** Jobs that wait to be run, as last counted. */
  waiting(): number;
}

/** What HTTP asks of jobs and of batches: both resolve requests alike and stop at the same limit. */
export function createServices(options: ServicesOptions): {
  readonly jobs: Jobs;
  readonly batches: Batches;
} {
  const { resolving, maxQueued, waiting } = options;
  const admit = (count = 1): void => {
    if (waiting() + count <= maxQueued) return;
    throw new AppError('queue.full', `${waiting()} jobs wait already`, { retryAfterSeconds: 10 });
  };
  const resolve: JobServiceOptions['resolve'] = (request: PromptRequest, principal) =>
    resolvePrompt(request, principal, resolving);
  return {
    jobs: createJobService({ ...options, resolve, admit }),
    batches: createBatchService({
      ...options,
      batches: options.batchRecords,
      admit,
      resolverFor: (principal) => createCallResolver(principal, resolving),
    }),
  };
}
