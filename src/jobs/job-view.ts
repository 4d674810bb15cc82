import { isFinished, type Job, jobLinks } from '../protocol/job.ts';
import type { ProjectedJob } from '../store/rows.ts';

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
    allowedTools: request.allowedTools,
    priority: request.priority,
    tags: request.tags,
    metadata: request.metadata,
    attempts: job.attempts,
    retryOf: job.retryOf,
    batchId: job.batchId,
    node: job.node,
    cancelRequested: job.cancelRequested,
    createdAt: job.createdAt,
    startedAt: job.startedAt,
    finishedAt: job.finishedAt,
    outcome: job.outcome,
    links: jobLinks(job.id),
  };
}
