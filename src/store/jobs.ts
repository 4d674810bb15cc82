/** This node's copies of jobs, read one by one or by batch. */
import type { DatabaseSync } from 'node:sqlite';
import { type JobGrant, readJobGrant } from '../auth/job-grant.ts';
import { AppError } from '../errors.ts';
import type { JobStatus } from '../protocol/job.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import { type Gated, shown } from './shown-jobs.ts';
import { all, first, readable } from './sql.ts';

/** A copy of a job's record. */
export interface JobCopy {
  readonly id: string;
  /** Grows with every change of the record. An older revision never replaces a newer one. */
  readonly rev: number;
  readonly kind: 'api' | 'raw';
  readonly project: string;
  readonly principal: string;
  readonly grant: JobGrant | null;
  readonly forged: boolean;
  readonly sessionId: string;
  /** The CLI's own id of that session; null: the CLI has not begun it. */
  readonly nativeSessionId: string | null;
  readonly status: JobStatus;
  readonly waitReason: string | null;
  readonly scheduledFor: string | null;
  /** The batch it was created in. */
  readonly batchId: string | null;
  readonly request: ResolvedPrompt;
  readonly archived: boolean;
  readonly attempts: number;
  readonly failures: number;
  readonly retryOf: string | null;
  /** The only node that may run it. */
  readonly pin: string | null;
  readonly node: string | null;
  readonly cancelRequested: boolean;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** When this node saw the revision. */
  readonly updatedAt: string;
  readonly outcome: Outcome | null;
}

/** A job of a batch, as far as this node knows. */
export interface BatchJob {
  readonly id: string;
  readonly status: JobStatus;
  readonly project: string;
}

/** Whether the job in `jobs` is archived: 1 or 0. */
export const ARCHIVED = 'jobs.id IN (SELECT job_id FROM archived_jobs) AS archived';

/** The batch of the job in `jobs`. */
export const BATCH_ID = '(SELECT batch_id FROM batch_jobs WHERE batch_jobs.job_id = jobs.id) AS batchId';

const columns = `id, rev, kind, project, principal, session_id AS sessionId, status, wait_reason AS waitReason, scheduled_for AS scheduledFor,
  attempts, failures, retry_of AS retryOf, pin, node, cancel_requested AS cancelRequested, created_at AS createdAt,
  started_at AS startedAt, finished_at AS finishedAt, updated_at AS updatedAt, granted AS grant, forged, request, outcome, prompt,
  (SELECT native_session_id FROM job_sessions WHERE job_sessions.session_id = jobs.session_id AND job_id = jobs.id)
    AS nativeSessionId, ${BATCH_ID}, ${ARCHIVED}`;

interface Columns
  extends Omit<JobCopy, 'archived' | 'cancelRequested' | 'grant' | 'forged' | 'request' | 'outcome'> {
  readonly archived: number;
  readonly cancelRequested: number;
  readonly grant: string | null;
  readonly forged: number;
  readonly request: string;
  readonly outcome: string | null;
  readonly prompt: string;
}

/** Converts a row of `jobs`. The prompt has a column of its own and is not in `request`. */
function toCopy({
  prompt,
  request,
  outcome,
  archived,
  cancelRequested,
  grant,
  forged,
  ...rest
}: Columns): JobCopy {
  return {
    ...rest,
    archived: archived === 1,
    cancelRequested: cancelRequested === 1,
    grant: readJobGrant(grant ?? ''),
    forged: forged === 1,
    request: { ...JSON.parse(request), prompt },
    outcome: outcome === null ? null : JSON.parse(outcome),
  };
}

export const jobReports = {
  /** Ids of the jobs that these keys have made, also from inside jobs, and that do not run. */
  'jobs.waitingOfKeys'(
    db: DatabaseSync,
    args: { readonly keys: readonly string[]; readonly after: string; readonly limit: number },
  ): string[] {
    const sql = `WITH ended AS (SELECT value AS key FROM json_each(?))
      SELECT id FROM jobs WHERE status IN ('queued', 'scheduled', 'waiting') AND id > ?
        AND (principal IN (SELECT 'key:' || key FROM ended)
          OR CASE WHEN json_valid(granted) THEN granted ->> '$.key' END IN (SELECT key FROM ended))
      ORDER BY id LIMIT ?`;
    return all<{ id: string }>(db, sql, JSON.stringify(args.keys), args.after, args.limit).map(
      ({ id }) => id,
    );
  },
};

export const jobReads = {
  'jobs.get'(db: DatabaseSync, args: { readonly id: string }): JobCopy | null {
    const row = first<Columns>(db, `SELECT ${columns} FROM jobs WHERE id = ?`, args.id);
    if (row === null) return null;
    const [job] = readable(`job ${args.id}`, () => toCopy(row));
    if (job === undefined) throw new AppError('record.damaged', 'the stored copy of the job cannot be read');
    return job;
  },

  /** Jobs that have not ended as far as this node knows, by id. `ids`: only of these. */
  'jobs.unfinished'(
    db: DatabaseSync,
    args: { readonly after: string; readonly limit: number; readonly ids?: readonly string[] | undefined },
  ): JobCopy[] {
    const sql = `SELECT ${columns} FROM jobs WHERE status IN ('queued', 'scheduled', 'waiting', 'running') AND id > ?
                 AND (? IS NULL OR id IN (SELECT value FROM json_each(?))) ORDER BY id LIMIT ?`;
    const ids = args.ids === undefined ? null : JSON.stringify(args.ids);
    for (let { after } = args; ; ) {
      const rows = all<Columns>(db, sql, after, ids, ids, args.limit);
      const jobs = rows.flatMap((row) => readable(`job ${row.id}`, () => toCopy(row)));
      const last = rows.at(-1);
      if (jobs.length > 0 || last === undefined) return jobs;
      after = last.id;
    }
  },

  /** Which of these jobs have a retry. */
  'jobs.retried'(db: DatabaseSync, args: { readonly ids: readonly string[] }): string[] {
    const sql = `SELECT DISTINCT retry_of AS id FROM jobs
                 WHERE retry_of IS NOT NULL AND retry_of IN (SELECT value FROM json_each(?))`;
    return all<{ id: string }>(db, sql, JSON.stringify(args.ids)).map(({ id }) => id);
  },

  /** All jobs of a batch, in order. One call created them, so there are not very many. */
  'jobs.ofBatch'(db: DatabaseSync, args: { readonly batch: string } & Gated): BatchJob[] {
    const { status } = shown(args);
    const sql = `SELECT id, ${status} AS status, jobs.project FROM batch_jobs JOIN jobs ON jobs.id = job_id
                 WHERE batch_id = ? ORDER BY id`;
    return all<BatchJob>(db, sql, args.batch);
  },
};
