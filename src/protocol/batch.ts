import { type Static, Type } from 'typebox';
import { JOB_STATUSES, type JobStatus } from './job.ts';

/** Prompts of one call at the most. */
export const MAX_BATCH_PROMPTS = 1000;

/** Why there is no job for one prompt of a batch: the problem document of `POST /v1/jobs`, in short. */
const RefusedItem = Type.Object({
  code: Type.String({ description: 'one of the table of error codes' }),
  message: Type.String(),
  retryable: Type.Boolean(),
  errors: Type.Array(Type.Object({ path: Type.String(), message: Type.String() })),
});

const links = Type.Object({
  self: Type.String(),
  jobs: Type.String({ description: 'the list of its jobs' }),
  cancel: Type.String(),
});

/** Answer of `POST /v1/batches`: what became of each prompt, in order. */
export const BatchCreated = Type.Object({
  id: Type.String({ description: 'ULID' }),
  items: Type.Array(
    Type.Union([
      Type.Object({ index: Type.Integer(), id: Type.String({ description: 'of the job' }) }),
      Type.Object({ index: Type.Integer(), error: RefusedItem }),
    ]),
  ),
  links,
});
export type BatchCreated = Static<typeof BatchCreated>;

/** A batch as it stands. */
export const Batch = Type.Object({
  id: Type.String({ description: 'ULID' }),
  createdAt: Type.String(),
  finished: Type.Boolean({ description: 'every job has ended' }),
  total: Type.Integer({ description: 'jobs, without those that were deleted' }),
  counts: Type.Object(
    Object.fromEntries(JOB_STATUSES.map((status) => [status, Type.Integer()])) as Record<
      JobStatus,
      ReturnType<typeof Type.Integer>
    >, // one for each status
  ),
  links,
});
export type Batch = Static<typeof Batch>;

export const batchLinks = (id: string) => ({
  self: `/v1/batches/${id}`,
  jobs: `/v1/jobs?batch=${id}`,
  cancel: `/v1/batches/${id}/cancel`,
});
