import type { DatabaseSync } from 'node:sqlite';
import { encodeTime } from 'ulid';
import { change } from './statement.ts';

export interface Retention {
  /** Finished before this: the job goes, with all it left. RFC 3339 in UTC, like `eventsBefore`. */
  readonly finishedJobsBefore: string;
  /** Finished before this: the job's events go. */
  readonly eventsBefore: string;
  /** Ended before this: the execution is in no report any more. */
  readonly usageBefore: string;
  /** At most so many events, jobs and executions in one call, so that a sweep never holds up an intent. */
  readonly limit: number;
}

export const retentionWrites = {
  /** One slice; call again while a count reaches `limit`. A job that is not finished keeps everything. */
  'retention.sweep'(db: DatabaseSync, args: Retention): { jobs: number; events: number; executions: number } {
    const eventsBefore =
      args.eventsBefore > args.finishedJobsBefore ? args.eventsBefore : args.finishedJobsBefore;
    const events = change(
      db,
      expiredEvents,
      encodeTime(Date.parse(eventsBefore), ULID_TIME_LENGTH),
      encodeTime(Date.parse(eventsBefore), ULID_TIME_LENGTH),
      eventsBefore,
      args.limit,
    );
    const jobs = sweepJobs(db, args);
    const executions = change(
      db,
      `DELETE FROM executions WHERE execution_id IN (SELECT execution_id FROM executions
         WHERE state IN ('delivered', 'superseded') AND ended_at < ? ORDER BY ended_at LIMIT ?)`,
      args.finishedJobsBefore,
      args.limit,
    );
    const usageBefore = 'SELECT execution_id FROM usage WHERE ended_at < ? ORDER BY ended_at LIMIT ?';
    change(db, `DELETE FROM usage WHERE execution_id IN (${usageBefore})`, args.usageBefore, args.limit);
    // Without its jobs a session cannot be found, and so never goes on.
    change(db, 'DELETE FROM session_totals WHERE updated_at < ?', args.finishedJobsBefore);
    return { jobs, events, executions };
  },
};

const ULID_TIME_LENGTH = 10;

/**
 * Steps from job id to job id through the primary key, only over jobs made before the limit: their ids, being
 * ULIDs, sort before it. Events of a job the projection does not know are left over from a deletion.
 */
const expiredEvents = `
WITH RECURSIVE old (job_id) AS (
  SELECT min(job_id) FROM events WHERE job_id < ?
  UNION ALL
  SELECT (SELECT min(job_id) FROM events WHERE job_id > old.job_id AND job_id < ?) FROM old WHERE old.job_id IS NOT NULL
)
DELETE FROM events WHERE (job_id, seq) IN (
  SELECT events.job_id, events.seq FROM old
  LEFT JOIN jobs ON jobs.id = old.job_id
  CROSS JOIN events ON events.job_id = old.job_id
  WHERE jobs.id IS NULL OR jobs.finished_at < ?
  LIMIT ?
)`;

/** Jobs whose events are gone already, so that one long job cannot make a slice long. */
function sweepJobs(db: DatabaseSync, args: Retention): number {
  const slice = `SELECT id FROM jobs WHERE finished_at < ?
    AND NOT EXISTS (SELECT 1 FROM events WHERE events.job_id = jobs.id) ORDER BY finished_at LIMIT ?`;
  for (const table of ['transitions', 'sessions']) {
    change(db, `DELETE FROM ${table} WHERE job_id IN (${slice})`, args.finishedJobsBefore, args.limit);
  }
  return change(db, `DELETE FROM jobs WHERE id IN (${slice})`, args.finishedJobsBefore, args.limit);
}
