import type { Migration } from '../migrations.ts';

/**
 * What the list's filters read. `archived_jobs` is a table of its own, as for batches. Each index
 * ends in the id, so that it also gives the order of the list.
 */
export const filters: Migration = {
  version: 7,
  name: 'filters',
  sql: `
CREATE TABLE archived_jobs (
  job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_session ON jobs (session_id, id);
CREATE INDEX jobs_project ON jobs (project, id);
CREATE INDEX jobs_model ON jobs (model, id) WHERE model IS NOT NULL;
CREATE INDEX jobs_wait_reason ON jobs (wait_reason, id) WHERE wait_reason IS NOT NULL;
CREATE INDEX jobs_error_code ON jobs ((CASE WHEN json_valid(error) THEN error ->> '$.code' END), id)
  WHERE error IS NOT NULL;
`,
};
