import type { Migration } from '../migrations.ts';

/**
 * Which jobs were created together. A table of its own, because a new column of `jobs` would lie
 * behind the prompt, and reading it would read the prompt too.
 */
export const batches: Migration = {
  version: 3,
  name: 'batches',
  sql: `
CREATE TABLE batch_jobs (
  batch_id TEXT NOT NULL,
  job_id   TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  PRIMARY KEY (batch_id, job_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX batch_jobs_job ON batch_jobs (job_id);
`,
};
