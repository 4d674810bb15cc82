/** Builds what HTTP clients can do with jobs and batches. */
import type { Batches, ManyJobs } from '../http/ports.ts';
import { type BatchReader, type BatchReaderOptions, createBatchReader } from './batch-reader.ts';
import { type BatchServiceOptions, createBatchService } from './batch-service.ts';
import { createJobService, type JobService, type JobServiceOptions } from './job-service.ts';
import { createManyJobs, type ManyJobsOptions } from './many-jobs.ts';

export type JobsOptions = JobServiceOptions &
  BatchReaderOptions &
  Omit<BatchServiceOptions, 'reader'> &
  Omit<ManyJobsOptions, 'batches'>;

export interface JobServices {
  readonly jobs: JobService;
  readonly reader: BatchReader;
  readonly batches: Batches;
  readonly manyJobs: ManyJobs;
}

export function openJobs(options: JobsOptions): JobServices {
  const reader = createBatchReader(options);
  const batches = createBatchService({ ...options, reader });
  return {
    jobs: createJobService(options),
    reader,
    batches,
    manyJobs: createManyJobs({ ...options, batches }),
  };
}
