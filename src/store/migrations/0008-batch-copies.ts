import type { Migration } from '../migrations.ts';

/**
 * Batches with their items, for the list and for the results of those whose record is gone. The
 * items of older batches are their jobs; their refused prompts are not known. The index finds the
 * retries of a job.
 */
export const batchCopies: Migration = {
  version: 8,
  name: 'batch-copies',
  sql: `
CREATE TABLE batches (
  id         TEXT PRIMARY KEY,
  project    TEXT NOT NULL,
  principal  TEXT NOT NULL,
  created_at TEXT NOT NULL,
  refused    INTEGER NOT NULL,
  items      TEXT NOT NULL
) STRICT;
INSERT INTO batches
  SELECT batch_id, min(project), min(principal), min(created_at), 0, json_group_array(json_object('id', id))
  FROM (SELECT batch_id, id, project, principal, created_at FROM batch_jobs JOIN jobs ON id = job_id
        ORDER BY batch_id, id)
  GROUP BY batch_id;
CREATE INDEX jobs_retry_of ON jobs (retry_of) WHERE retry_of IS NOT NULL;
`,
};
