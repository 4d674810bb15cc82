/** Records and projected rows as callers see them. */
import { isFinished, type Job, jobLinks } from '../protocol/job.ts';
import type { JobRecord } from '../rpc/ports.ts';
import type { ProjectedJob } from '../store/rows.ts';

const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** A record as the projection keeps it. `now`: when this revision was seen, in milliseconds. */
export function toProjected(record: JobRecord, now: number): ProjectedJob {
  return {
    id: record.id,
    rev: record.rev,
    kind: record.kind,
    owner: record.owner,
    status: record.status,
    waitReason: record.waitReason,
    scheduledFor: time(record.scheduledFor),
    request: record.request,
    attempts: record.attempt,
    retryOf: record.retryOf,
    node: record.node,
    cancelRequested: record.cancel !== 'none',
    createdAt: new Date(record.createdAt).toISOString(),
    startedAt: time(record.startedAt),
    finishedAt: time(record.finishedAt),
    updatedAt: new Date(now).toISOString(),
    outcome: record.outcome,
  };
}

/** The job document of the API. */
export function toJob(job: Omit<ProjectedJob, 'updatedAt' | 'rev'>): Job {
  const { request } = job;
  return {
    id: job.id,
    status: job.status,
    finished: isFinished(job.status),
    waitReason: job.waitReason,
    scheduledFor: job.scheduledFor,
    provider: request.provider,
    prompt: request.prompt,
    model: request.model,
    cwd: request.cwd,
    permissionMode: request.permissionMode,
    priority: request.priority,
    tags: request.tags,
    metadata: request.metadata,
    attempts: job.attempts,
    retryOf: job.retryOf,
    node: job.node,
    cancelRequested: job.cancelRequested,
    createdAt: job.createdAt,
    startedAt: job.startedAt,
    finishedAt: job.finishedAt,
    outcome: job.outcome,
    links: jobLinks(job.id),
  };
}
