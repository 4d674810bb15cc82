import type { Migration } from '../migrations.ts';

/**
 * How many tool calls of a job were denied; a row only where there were any. A table of its own, as
 * for batches.
 */
export const denials: Migration = {
  version: 5,
  name: 'denials',
  sql: `
CREATE TABLE job_denials (
  job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
  denied INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO job_denials SELECT id, denied FROM (
  SELECT id, json_array_length(CASE WHEN json_valid(outcome) THEN outcome END, '$.permissionDenials') AS denied FROM jobs
) WHERE denied > 0;
`,
};
