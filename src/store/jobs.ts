import type { DatabaseSync } from 'node:sqlite';
import { AppError } from '../errors.ts';
import { readable } from './damaged-rows.ts';
import { type JobColumns, jobColumns, toJob } from './job-row.ts';
import type { BatchJob, ProjectedJob } from './rows.ts';
import { all, first } from './statement.ts';

export const jobReads = {
  'jobs.get'(db: DatabaseSync, args: { readonly id: string }): ProjectedJob | null {
    const columns = first<JobColumns>(db, `SELECT ${jobColumns} FROM jobs WHERE id = ?`, args.id);
    if (columns === null) return null;
    const [job] = readable(`job ${args.id}`, () => toJob(columns));
    if (job === undefined) throw new AppError('record.damaged', 'what is stored of the job cannot be read');
    return job;
  },

  /** Jobs that have not ended as far as this node knows, by id. */
  'jobs.unfinished'(
    db: DatabaseSync,
    args: { readonly after: string; readonly limit: number },
  ): ProjectedJob[] {
    const sql = `SELECT ${jobColumns} FROM jobs WHERE status IN ('queued', 'scheduled', 'running') AND id > ?
                 ORDER BY id LIMIT ?`;
    for (let { after } = args; ; ) {
      const rows = all<JobColumns>(db, sql, after, args.limit);
      const jobs = rows.flatMap((row) => readable(`job ${row.id}`, () => toJob(row)));
      const last = rows.at(-1);
      if (jobs.length > 0 || last === undefined) return jobs;
      after = last.id;
    }
  },

  /** The jobs of a batch in order; as many as one call may make. */
  'jobs.ofBatch'(db: DatabaseSync, args: { readonly batch: string }): BatchJob[] {
    const sql = `SELECT id, status, owner, created_at AS createdAt FROM batch_jobs JOIN jobs ON jobs.id = job_id
                 WHERE batch_id = ? ORDER BY id`;
    return all<BatchJob>(db, sql, args.batch);
  },
};
