import type { Logger } from 'pino';
import type { JobRecord } from '../records/ports.ts';
import type { ProjectedJob } from './rows.ts';

const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** Logs a line for an ended job. Each node logs the jobs it ran, and every node logs a job that ran nowhere. */
export const logEnded =
  (logger: Logger, nodeId: string) =>
  ({ id, node, status, request, outcome }: JobRecord): void => {
    if (node !== null && node !== nodeId) return;
    const fields = {
      jobId: id,
      status,
      code: outcome?.error?.code ?? null,
      provider: outcome?.provider ?? request.provider,
      durationMs: outcome?.durationMs ?? null,
      costUsd: outcome?.usage?.costUsd ?? null,
    };
    logger.info(fields, 'job ended');
  };

/** A record as the projection keeps it. `now`: when this revision was seen, in milliseconds. */
export function toProjected(record: JobRecord, now: number): ProjectedJob {
  return {
    id: record.id,
    rev: record.rev,
    kind: record.kind,
    owner: record.principal,
    status: record.status,
    waitReason: record.waitReason,
    scheduledFor: time(record.scheduledFor),
    batchId: record.batch,
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
