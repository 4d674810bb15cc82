import type { Migration } from '../migrations.ts';

/** Copies of the callers' keys, as JSON: they come back when Redis has lost them. */
export const keys: Migration = {
  version: 10,
  name: 'keys',
  sql: `
CREATE TABLE keys (
  id     TEXT PRIMARY KEY,
  rev    INTEGER NOT NULL,
  record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
DROP INDEX usage_principal;
CREATE INDEX usage_project ON usage (project, ended_at);
`,
};
