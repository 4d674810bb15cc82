import type { DatabaseSync } from 'node:sqlite';
import { saveCursor } from './cursors.ts';
import { deleteJob } from './delete-job.ts';
import { insertEvent } from './events.ts';
import type { EventCopy, NamedCursor, ProjectedJob } from './rows.ts';
import { recordSessions } from './sessions.ts';
import { change } from './statement.ts';
import { recordUsage } from './usage.ts';

export interface Projection {
  readonly jobs: readonly ProjectedJob[];
  /** Ids of jobs that were deleted; they win over `jobs`, because an id is never used again. */
  readonly removed: readonly string[];
  /** null: this did not come out of the log. */
  readonly cursor: NamedCursor | null;
  /** Of jobs that have finished, these or others; kept before the jobs, whose usage and sessions are read from them. */
  readonly events?: readonly EventCopy[];
}

export interface Projected {
  /** Copies that are newer than what was there. */
  readonly applied: number;
  readonly removed: number;
  /** Ids of the jobs whose end is new. */
  readonly ended: readonly string[];
}

export const projectionWrites = {
  /** Applies a piece of the log and moves its cursor, all or nothing. A revision not newer than ours is skipped. */
  'jobs.project'(db: DatabaseSync, args: Projection): Projected {
    let applied = 0;
    const ended: string[] = [];
    let removed = 0;
    for (const copy of args.events ?? []) insertEvent(db, copy);
    for (const job of args.jobs) {
      if (!applyJob(db, job)) continue;
      applied += 1;
      if (job.finishedAt !== null) ended.push(job.id);
    }
    for (const id of args.removed) if (deleteJob(db, id)) removed += 1;
    if (args.cursor !== null) saveCursor(db, args.cursor);
    return { applied, removed, ended };
  },

  /** Before a job is made again under its id: its new record counts its revisions from the start. */
  'jobs.rewind'(db: DatabaseSync, args: { readonly id: string }): { known: boolean } {
    return { known: change(db, 'UPDATE jobs SET rev = 0 WHERE id = ?', args.id) === 1 };
  },
};

const columns = [
  ...['id', 'rev', 'kind', 'owner', 'status', 'wait_reason', 'scheduled_for', 'provider', 'model', 'cwd'],
  ...['attempts', 'retry_of', 'node', 'created_at', 'started_at', 'finished_at', 'updated_at'],
  ...['cancel_requested', 'tags', 'metadata', 'request', 'outcome', 'prompt'],
];

const upsert = `INSERT INTO jobs (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})
  ON CONFLICT (id) DO UPDATE SET ${columns.map((column) => `${column} = excluded.${column}`).join(', ')}
  WHERE excluded.rev > jobs.rev`;

function applyJob(db: DatabaseSync, job: ProjectedJob): boolean {
  const { prompt, ...request } = job.request;
  const changed = change(
    db,
    upsert,
    job.id,
    job.rev,
    job.kind,
    job.owner,
    job.status,
    job.waitReason,
    job.scheduledFor,
    request.provider,
    request.model,
    request.cwd,
    job.attempts,
    job.retryOf,
    job.node,
    job.createdAt,
    job.startedAt,
    job.finishedAt,
    job.updatedAt,
    job.cancelRequested ? 1 : 0,
    JSON.stringify(request.tags),
    JSON.stringify(request.metadata),
    JSON.stringify(request),
    job.outcome === null ? null : JSON.stringify(job.outcome),
    prompt,
  );
  if (changed === 0) return false;
  for (const tag of request.tags) {
    change(db, 'INSERT INTO job_tags (tag, job_id) VALUES (?, ?) ON CONFLICT DO NOTHING', tag, job.id);
  }
  if (job.batchId !== null) {
    const sql = 'INSERT INTO batch_jobs (batch_id, job_id) VALUES (?, ?) ON CONFLICT DO NOTHING';
    change(db, sql, job.batchId, job.id);
  }
  change(
    db,
    `INSERT INTO transitions (job_id, rev, status, at, node) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (job_id, rev) DO NOTHING`,
    job.id,
    job.rev,
    job.status,
    job.updatedAt,
    job.node,
  );
  const denied = job.outcome?.permissionDenials.length ?? 0;
  if (denied > 0) {
    const sql = `INSERT INTO job_denials (job_id, denied) VALUES (?, ?)
      ON CONFLICT (job_id) DO UPDATE SET denied = excluded.denied`;
    change(db, sql, job.id, denied);
  }
  if (job.finishedAt !== null) {
    recordUsage(db, job);
    recordSessions(db, job);
  }
  return true;
}
