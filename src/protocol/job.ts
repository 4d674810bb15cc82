/** Jobs and batches of jobs, as callers see them. */
import { type Static, Type } from 'typebox';
import { Outcome } from './outcome.ts';
import { nullable } from './schema.ts';

export const JOB_STATUSES = ['queued', 'scheduled', 'running', 'succeeded', 'failed', 'cancelled'] as const;
export const JobStatus = Type.Enum(JOB_STATUSES);
export type JobStatus = Static<typeof JobStatus>;

export const isFinished = (status: JobStatus): boolean =>
  status === 'succeeded' || status === 'failed' || status === 'cancelled';

const common = {
  id: Type.String({ description: 'ULID' }),
  status: JobStatus,
  finished: Type.Boolean(),
  waitReason: nullable(Type.String({ description: 'delayed | backoff | concurrency_key | session | …' })),
  scheduledFor: nullable(Type.String()),
  provider: Type.String(),
  priority: Type.Integer(),
  tags: Type.Array(Type.String()),
  metadata: Type.Record(Type.String(), Type.String()),
  attempts: Type.Integer(),
  retryOf: nullable(Type.String()),
  batchId: nullable(Type.String({ description: 'the batch it belongs to' })),
  node: nullable(Type.String()),
  createdAt: Type.String(),
  startedAt: nullable(Type.String()),
  finishedAt: nullable(Type.String()),
};

const links = Type.Object({ self: Type.String(), events: Type.String(), cancel: Type.String() });

/** A job as callers see it. Unset fields are null, never absent. */
export const Job = Type.Object({
  ...common,
  prompt: Type.String(),
  model: nullable(Type.String()),
  cwd: Type.String(),
  permissionMode: Type.String(),
  allowedTools: Type.Array(Type.String()),
  cancelRequested: Type.Boolean(),
  outcome: nullable(Outcome),
  links,
});
export type Job = Static<typeof Job>;

/** A job in a list: a preview of the prompt and no texts. */
export const JobListItem = Type.Object({
  ...common,
  promptPreview: Type.String({ description: 'first 200 characters' }),
  error: nullable(Type.Object({ code: Type.String(), message: Type.String(), retryable: Type.Boolean() })),
  costUsd: nullable(Type.Number()),
  deniedTools: Type.Integer({
    description: 'tool calls that were denied; the outcome of the job names them',
  }),
  links,
});
export type JobListItem = Static<typeof JobListItem>;

/** Which jobs a list shows. A job must meet every condition. */
export interface JobQuery {
  /** Any of these; empty: all. */
  readonly status: readonly JobStatus[];
  /** Any of these; empty: all. */
  readonly provider: readonly string[];
  /** Every one of these. */
  readonly tag: readonly string[];
  readonly batch: string | null;
  /** Exclusive bounds, RFC 3339 with any offset. */
  readonly createdAfter: string | null;
  readonly createdBefore: string | null;
  /** Text in the prompt, without regard to case. */
  readonly q: string | null;
  readonly limit: number;
  /** `nextCursor` of the previous page; null: the first page. */
  readonly cursor: string | null;
}

export const jobLinks = (id: string) => ({
  self: `/v1/jobs/${id}`,
  events: `/v1/jobs/${id}/events`,
  cancel: `/v1/jobs/${id}/cancel`,
});

/** Most prompts in one call of `POST /v1/batches`. */
export const MAX_BATCH_PROMPTS = 1000;

/** Why a prompt of a batch got no job: the problem document of `POST /v1/jobs`, in short. */
const RefusedItem = Type.Object({
  code: Type.String({ description: 'one of the table of error codes' }),
  message: Type.String(),
  retryable: Type.Boolean(),
  errors: Type.Array(Type.Object({ path: Type.String(), message: Type.String() })),
});

const batchLinksSchema = Type.Object({
  self: Type.String(),
  jobs: Type.String({ description: 'the list of its jobs' }),
  cancel: Type.String(),
});

/** Answer of `POST /v1/batches`: the job or the error of each prompt, in order. */
export const BatchCreated = Type.Object({
  id: Type.String({ description: 'ULID' }),
  items: Type.Array(
    Type.Union([
      Type.Object({ index: Type.Integer(), id: Type.String({ description: 'of the job' }) }),
      Type.Object({ index: Type.Integer(), error: RefusedItem }),
    ]),
  ),
  links: batchLinksSchema,
});
export type BatchCreated = Static<typeof BatchCreated>;

/** A batch as callers see it. */
export const Batch = Type.Object({
  id: Type.String({ description: 'ULID' }),
  createdAt: Type.String(),
  finished: Type.Boolean({ description: 'every job has ended' }),
  total: Type.Integer({ description: 'jobs, without those that were deleted' }),
  counts: Type.Object(
    Object.fromEntries(JOB_STATUSES.map((status) => [status, Type.Integer()])) as Record<
      JobStatus,
      ReturnType<typeof Type.Integer>
    >, // `as`: one for each status
  ),
  links: batchLinksSchema,
});
export type Batch = Static<typeof Batch>;

export const batchLinks = (id: string) => ({
  self: `/v1/batches/${id}`,
  jobs: `/v1/jobs?batch=${id}`,
  cancel: `/v1/batches/${id}/cancel`,
});
