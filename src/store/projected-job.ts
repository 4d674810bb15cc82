import type { JobRecord } from '../rpc/ports.ts';
import type { ProjectedJob } from './rows.ts';

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
