import { type Static, Type } from 'typebox';
import { Outcome } from './outcome.ts';
import { nullable } from './schema.ts';

export const JOB_STATUSES = ['queued', 'scheduled', 'running', 'succeeded', 'failed', 'cancelled'] as const;
export const JobStatus = Type.Enum(JOB_STATUSES);
export type JobStatus = Static<typeof JobStatus>;

/** Who owns what is made without a project. */
export const DEFAULT_PROJECT = 'default';

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
  batchId: nullable(Type.String({ description: 'the batch it was made in' })),
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
