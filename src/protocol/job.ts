/** Jobs and batches of jobs, as callers see them. */
import { type Static, Type } from '#typebox';
import { ERROR_CODES, type ErrorCode } from '../errors.ts';
import { Outcome } from './outcome.ts';
import { PromptRequest, promptOptions } from './prompt.ts';
import { closed, MODEL_PATTERN, nullable, searchText } from './schema.ts';

export const JOB_STATUSES = [
  ...(['queued', 'scheduled', 'waiting', 'running'] as const),
  ...(['succeeded', 'failed', 'cancelled'] as const),
] as const;
export const JobStatus = Type.Enum(JOB_STATUSES);
export type JobStatus = Static<typeof JobStatus>;

export const isFinished = (status: JobStatus): boolean =>
  status === 'succeeded' || status === 'failed' || status === 'cancelled';

/** Why a job without a process has none. */
export const WAIT_REASONS = [
  ...(['delayed', 'backoff', 'quota', 'budget'] as const), // scheduled
  ...(['approval', 'dependency', 'paused', 'node'] as const), // waiting
  ...(['session', 'concurrency_key'] as const), // queued
] as const;

const common = {
  id: Type.String({ description: 'ULID' }),
  project: Type.String({ description: 'the project that owns it' }),
  principal: Type.String({
    description: 'who made it: `admin`, `key:<id>`, `jwt:<subject>`, `job:<id>`, or `raw`',
  }),
  status: JobStatus,
  finished: Type.Boolean(),
  waitReason: nullable(
    Type.String({
      description: `why it does not run: ${WAIT_REASONS.join(' | ')}; null: it waits for a free slot, or does not wait`,
    }),
  ),
  scheduledFor: nullable(Type.String()),
  provider: Type.String(),
  priority: Type.Integer(),
  tags: Type.Array(Type.String()),
  metadata: Type.Record(Type.String(), Type.String()),
  archived: Type.Boolean(),
  attempts: Type.Integer(),
  sessionId: Type.String({
    description: 'the session that it continues, or the new one that it begins; known from its creation',
  }),
  retryOf: nullable(Type.String()),
  batchId: nullable(Type.String({ description: 'the batch it belongs to' })),
  customId: nullable(Type.String({ description: "the caller's id of a prompt of a batch" })),
  node: nullable(Type.String()),
  createdAt: Type.String(),
  startedAt: nullable(Type.String()),
  finishedAt: nullable(Type.String()),
};

const links = Type.Object({ self: Type.String(), events: Type.String(), cancel: Type.String() });

/**
 * A job as callers see it. Unset fields are null, never absent. `request`: the body with which
 * `POST /v1/jobs` makes the same job, without fields that ask for nothing.
 */
export const Job = Type.Object({
  ...common,
  request: PromptRequest,
  prompt: Type.String(),
  model: nullable(Type.String()),
  cwd: Type.String(),
  permissionMode: Type.String(),
  allowedTools: Type.Array(Type.String()),
  nativeSessionId: nullable(
    Type.String({ description: "the CLI's own id of the session; null: the CLI has not begun it" }),
  ),
  cancelRequested: Type.Boolean(),
  outcome: nullable(Outcome),
  links,
});
export type Job = Static<typeof Job>;

/** A job in a list: a preview of the prompt and no texts. */
export const JobListItem = Type.Object({
  ...common,
  promptPreview: Type.String({ description: 'first 200 characters' }),
  model: nullable(Type.String()),
  nativeSessionId: nullable(Type.String({ description: 'as of a job' })),
  error: nullable(Type.Object({ code: Type.String(), message: Type.String(), retryable: Type.Boolean() })),
  costUsd: nullable(Type.Number()),
  deniedTools: Type.Integer({
    description: 'tool calls that were denied; the outcome of the job names them',
  }),
  links,
});
export type JobListItem = Static<typeof JobListItem>;

/** Body of `PATCH /v1/jobs/:id`: what may change of a job. Each value replaces the old one. */
export const JobPatch = Type.Object(
  {
    tags: promptOptions.tags,
    metadata: promptOptions.metadata,
    archived: Type.Optional(Type.Boolean({ description: 'for the filter `archived` of the list' })),
    priority: promptOptions.priority,
    runAt: promptOptions.runAt,
  },
  { ...closed, minProperties: 1, examples: [{ tags: ['reviewed'], archived: true }, { priority: 5 }] },
);
export type JobPatch = Static<typeof JobPatch>;

const CODES = Object.keys(ERROR_CODES) as ErrorCode[]; // as: the keys of the table
/** Most values of one condition of a filter. */
const MAX_VALUES = 20;
const several = <T extends Parameters<typeof Type.Array>[0]>(item: T, description: string) =>
  Type.Optional(Type.Array(item, { maxItems: MAX_VALUES, description }));
const one = (description: string, maxLength = 64) =>
  Type.Optional(Type.String({ minLength: 1, maxLength, description }));
const time = (description: string) => Type.Optional(Type.String({ format: 'date-time', description }));

/**
 * Which jobs are meant, in the list and where many jobs are changed at once. A job must meet every
 * condition; a list is met by any of its values, `tag` by all.
 */
export const JobFilter = Type.Object(
  {
    status: several(JobStatus, 'in one of these states'),
    waitReason: several(Type.Enum(WAIT_REASONS), 'that wait for one of these reasons'),
    provider: several(Type.String({ maxLength: 64 }), 'of one of these providers'),
    model: several(Type.String({ pattern: `^${MODEL_PATTERN}$` }), 'whose request names one of these models'),
    tag: several(Type.String({ minLength: 1, maxLength: 64 }), 'with every one of these tags'),
    batch: one('id of the batch they were made in'),
    session: one('id of their session', 128),
    project: one('of this project'),
    principal: one('made by this principal', 300),
    errorCode: several(Type.Enum(CODES), 'that ended with one of these codes'),
    archived: Type.Optional(Type.Boolean({ description: 'whether they are archived; unset: all' })),
    createdAfter: time('RFC 3339, exclusive'),
    createdBefore: time('RFC 3339, exclusive'),
    q: Type.Optional(searchText('text in the prompt or the answer, in any case')),
  },
  closed,
);
export type JobFilter = Static<typeof JobFilter>;

/** One page of the jobs that a filter names. */
export interface JobQuery extends JobFilter {
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
  results: Type.String(),
  events: Type.String(),
  cancel: Type.String(),
});

/** Which prompt of a batch. */
const place = {
  index: Type.Integer({ description: 'of the prompt, from 0' }),
  customId: nullable(Type.String({ description: "the caller's id of the prompt" })),
};

/** Answer of `POST /v1/batches`: the job or the error of each prompt, in order. */
export const BatchCreated = Type.Object({
  id: Type.String({ description: 'ULID' }),
  items: Type.Array(
    Type.Union([
      Type.Object({ ...place, id: Type.String({ description: 'of the job' }) }),
      Type.Object({ ...place, error: RefusedItem }),
    ]),
  ),
  links: batchLinksSchema,
});
export type BatchCreated = Static<typeof BatchCreated>;

/** Jobs by status. */
export const JobCounts = Type.Object(
  Object.fromEntries(JOB_STATUSES.map((status) => [status, Type.Integer()])) as Record<
    JobStatus,
    ReturnType<typeof Type.Integer>
  >, // `as`: one for each status
);

/** A batch as callers see it. */
export const Batch = Type.Object({
  id: Type.String({ description: 'ULID' }),
  createdAt: Type.String(),
  startedAt: nullable(Type.String({ description: 'start of its first job' })),
  finishedAt: nullable(Type.String({ description: 'end of its last job' })),
  finished: Type.Boolean({ description: 'every job has ended' }),
  refused: Type.Integer({ description: 'prompts that got no job' }),
  total: Type.Integer({ description: 'jobs, without those that were deleted' }),
  counts: JobCounts,
  costUsd: nullable(
    Type.Number({ description: 'sum of the jobs that have ended; null: of no job is the cost known' }),
  ),
  links: batchLinksSchema,
});
export type Batch = Static<typeof Batch>;

export const batchLinks = (id: string) => ({
  self: `/v1/batches/${id}`,
  jobs: `/v1/jobs?batch=${id}`,
  results: `/v1/batches/${id}/results`,
  events: `/v1/batches/${id}/events`,
  cancel: `/v1/batches/${id}/cancel`,
});

/** A line of a batch's results: what one of its prompts has come to. */
export const BatchResult = Type.Object({
  ...place,
  jobId: nullable(Type.String({ description: 'null: the prompt was refused' })),
  status: nullable(JobStatus, { description: 'null: there is no such job' }),
  outcome: nullable(Outcome, { description: 'null: the job has not ended' }),
  error: nullable(Type.Object({ code: Type.String(), message: Type.String(), retryable: Type.Boolean() }), {
    description: 'of the outcome, or why there is no job',
  }),
});
export type BatchResult = Static<typeof BatchResult>;

const manyCounts = {
  matched: Type.Integer({ description: 'jobs of this page' }),
  skipped: Type.Record(Type.String(), Type.Integer(), {
    description: 'jobs that were left alone, by error code',
  }),
  nextCursor: nullable(Type.String({ description: 'null: no other job matches' })),
};

/** Answer of `POST /v1/jobs/cancel`. */
export const ManyCancelled = Type.Object(
  {
    ...manyCounts,
    cancelled: Type.Integer({ description: 'jobs that did not run and have ended now' }),
    requested: Type.Integer({ description: 'running jobs that will be stopped' }),
  },
  { examples: [{ matched: 3, skipped: {}, nextCursor: null, cancelled: 2, requested: 1 }] },
);
export type ManyCancelled = Static<typeof ManyCancelled>;

/** Answer of `POST /v1/jobs/retry`. */
export const ManyRetried = Type.Object(
  {
    ...manyCounts,
    retried: Type.Integer({ description: 'new jobs' }),
    batchId: nullable(Type.String({ description: 'the batch of the new jobs; null: there are none' })),
  },
  {
    examples: [
      {
        ...{ matched: 3, skipped: { 'job.already_retried': 1 }, nextCursor: null },
        ...{ retried: 2, batchId: '01K9ZV4Q4M2B4D6F8H0K2M4P6R' },
      },
    ],
  },
);
export type ManyRetried = Static<typeof ManyRetried>;
