import type { DatabaseSync } from 'node:sqlite';
import { encodeTime } from 'ulid';
import { EMPTY_BATCH } from './batches.ts';
import { all, change, first } from './sql.ts';

export interface Retention {
  /**
   * A job that finished before this is removed with all its rows. RFC 3339 in UTC, like the other
   * limits.
   */
  readonly finishedJobsBefore: string;
  /** The events of a job that finished before this are removed. */
  readonly eventsBefore: string;
  /** The usage of an execution that ended before this is removed. */
  readonly usageBefore: string;
  /** Rows of each kind removed in one call, at most: the executor's writes wait for the call. */
  readonly limit: number;
  /** `after` of the previous slice; left out for the first. */
  readonly after?: string;
}

export interface Swept {
  readonly jobs: number;
  readonly events: number;
  readonly executions: number;
  readonly usage: number;
  /** The last job whose events were checked. */
  readonly after: string;
  /** Whether to call again. */
  readonly more: boolean;
}

export const retentionWrites = {
  /**
   * Removes one slice. Its cost does not grow with what is kept. Unfinished jobs keep everything.
   */
  'retention.sweep'(db: DatabaseSync, args: Retention): Swept {
    const { finishedJobsBefore, usageBefore, limit } = args;
    const { events, after, done } = sweepEvents(db, args);
    // Jobs come after all events, so a job with many events does not make a slice long.
    const jobs = done ? sweepJobs(db, args) : 0;
    const executions = change(
      db,
      `DELETE FROM executions WHERE execution_id IN (SELECT execution_id FROM executions
         WHERE state IN ('delivered', 'superseded') AND ended_at < ? ORDER BY ended_at LIMIT ?)`,
      finishedJobsBefore,
      limit,
    );
    const terminals = 'SELECT execution_id FROM terminals WHERE ended_at < ? ORDER BY ended_at LIMIT ?';
    const programs = change(
      db,
      `DELETE FROM terminals WHERE execution_id IN (${terminals})`,
      finishedJobsBefore,
      limit,
    );
    const old = 'SELECT execution_id FROM usage WHERE ended_at < ? ORDER BY ended_at LIMIT ?';
    const usage = change(db, `DELETE FROM usage WHERE execution_id IN (${old})`, usageBefore, limit);
    const more = !done || jobs > 0 || executions === limit || usage === limit || programs === limit;
    // Without its jobs a session cannot be continued, so its total is not needed.
    if (!more) change(db, 'DELETE FROM session_totals WHERE updated_at < ?', finishedJobsBefore);
    if (!more)
      change(
        db,
        `DELETE FROM sessions WHERE last_activity_at < ?
           AND (kind <> 'terminal' OR status IN ('closed', 'failed'))
           AND NOT EXISTS (SELECT 1 FROM jobs WHERE session_id = sessions.id)`,
        finishedJobsBefore,
      );
    if (!more) change(db, `DELETE FROM batches WHERE created_at < ? AND ${EMPTY_BATCH}`, finishedJobsBefore);
    return { jobs, events, executions, usage, after, more };
  },
};

const ULID_TIME_LENGTH = 10;
/** Long texts removed in one slice, at most: SQLite reads each of their pages. */
const SLICE_BYTES = 4 * 1024 * 1024;

/**
 * Steps from job id to job id through the primary key. Ids are ULIDs, so jobs that were created
 * after the limit sort after `bound` and are not visited. Events without a job are left from a
 * deletion and are removed.
 */
function sweepEvents(
  db: DatabaseSync,
  { eventsBefore, finishedJobsBefore, limit, after: from = '' }: Retention,
): { events: number; after: string; done: boolean } {
  const before = eventsBefore > finishedJobsBefore ? eventsBefore : finishedJobsBefore;
  const bound = encodeTime(Date.parse(before), ULID_TIME_LENGTH);
  let after = from;
  let events = 0;
  let bytes = 0;
  for (let looked = 0; looked < limit; looked += 1) {
    const next = first<{ id: string | null }>(
      db,
      'SELECT min(job_id) AS id FROM events WHERE job_id > ? AND job_id < ?',
      after,
      bound,
    );
    const id = next?.id ?? null;
    if (id === null) return { events, after, done: true };
    if (isExpired(db, id, before)) {
      const rows = all<{ seq: number; bytes: number }>(
        db,
        `SELECT seq, octet_length(body) + coalesce(octet_length(raw), 0) AS bytes FROM events WHERE job_id = ?
         ORDER BY seq LIMIT ?`,
        id,
        limit - events,
      );
      const last = rows.find((row) => {
        bytes += row.bytes;
        return bytes > SLICE_BYTES;
      });
      const upTo = last ?? rows.at(-1);
      events += change(db, 'DELETE FROM events WHERE job_id = ? AND seq <= ?', id, upTo?.seq ?? 0);
      if (last !== undefined || events >= limit) return { events, after, done: false };
    }
    after = id;
  }
  return { events, after, done: false };
}

function isExpired(db: DatabaseSync, id: string, before: string): boolean {
  const job = first<{ finishedAt: string | null }>(
    db,
    'SELECT finished_at AS finishedAt FROM jobs WHERE id = ?',
    id,
  );
  return job === null || (job.finishedAt !== null && job.finishedAt < before);
}

function sweepJobs(db: DatabaseSync, { finishedJobsBefore, limit }: Retention): number {
  const rows = all<{ id: string; bytes: number }>(
    db,
    `SELECT id, octet_length(prompt) + coalesce(octet_length(outcome), 0) AS bytes FROM jobs WHERE finished_at < ?
     ORDER BY finished_at LIMIT ?`,
    finishedJobsBefore,
    limit,
  );
  let bytes = 0;
  const slice = rows.filter((row, index) => {
    bytes += row.bytes;
    return index === 0 || bytes <= SLICE_BYTES;
  });
  const ids = JSON.stringify(slice.map(({ id }) => id));
  for (const table of ['transitions', 'job_sessions', 'events', 'approvals']) {
    change(db, `DELETE FROM ${table} WHERE job_id IN (SELECT value FROM json_each(?))`, ids);
  }
  return change(db, 'DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))', ids);
}
