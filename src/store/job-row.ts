import type { JobStatus } from '../protocol/job.ts';
import type { JobSummary, ProjectedJob } from './rows.ts';

const BATCH_ID = '(SELECT batch_id FROM batch_jobs WHERE batch_jobs.job_id = jobs.id) AS batchId';

/** The selected columns of a whole job, under the names of its type. */
export const jobColumns = `id, rev, kind, owner, status, wait_reason AS waitReason, scheduled_for AS scheduledFor,
  attempts, retry_of AS retryOf, node, cancel_requested AS cancelRequested, created_at AS createdAt,
  started_at AS startedAt, finished_at AS finishedAt, updated_at AS updatedAt, request, outcome, prompt,
  ${BATCH_ID}`;

export interface JobColumns extends Omit<ProjectedJob, 'cancelRequested' | 'request' | 'outcome'> {
  readonly cancelRequested: number;
  readonly request: string;
  readonly outcome: string | null;
  readonly prompt: string;
}

/** A row of `jobs` as it was projected. The request's prompt is stored once, in its own column. */
export function toJob({ prompt, request, outcome, cancelRequested, ...rest }: JobColumns): ProjectedJob {
  return {
    ...rest,
    cancelRequested: cancelRequested === 1,
    request: { ...JSON.parse(request), prompt },
    outcome: outcome === null ? null : JSON.parse(outcome),
  };
}

/** The selected columns of a job in a list: none that can be large. */
export const summaryColumns = `jobs.id, jobs.kind, jobs.owner, jobs.status, jobs.wait_reason AS waitReason,
  jobs.scheduled_for AS scheduledFor, jobs.provider, jobs.tags, jobs.metadata, jobs.attempts,
  jobs.retry_of AS retryOf, jobs.node, jobs.created_at AS createdAt, jobs.started_at AS startedAt,
  jobs.finished_at AS finishedAt, jobs.prompt_preview AS promptPreview, jobs.error, jobs.cost_usd AS costUsd,
  CASE WHEN json_valid(jobs.request) THEN jobs.request ->> '$.priority' END AS priority,
  coalesce((SELECT denied FROM job_denials WHERE job_id = jobs.id), 0) AS deniedTools, ${BATCH_ID}`;

export interface SummaryColumns
  extends Omit<JobSummary, 'status' | 'tags' | 'metadata' | 'error' | 'priority'> {
  /** null: the request of the row is no JSON. */
  readonly priority: number | null;
  readonly status: JobStatus;
  readonly tags: string;
  readonly metadata: string;
  readonly error: string | null;
}

/** A row of a list. @throws Error when it cannot be read */
export function toSummary({ tags, metadata, error, priority, ...rest }: SummaryColumns): JobSummary {
  if (priority === null) throw new Error('its request is none');
  return {
    ...rest,
    priority,
    tags: JSON.parse(tags),
    metadata: JSON.parse(metadata),
    error: error === null ? null : JSON.parse(error),
  };
}
