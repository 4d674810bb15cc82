import type { Migration } from '../migrations.ts';

/**
 * The audit. Each row has the hash of itself and the row before it, so a row that was changed,
 * removed or moved is found. `ms` and `n` are the id of the log's entry; `n` is negative in a row
 * that says which older rows were removed.
 */
export const audit: Migration = {
  version: 13,
  name: 'audit',
  sql: `
CREATE TABLE audit (
  seq        INTEGER PRIMARY KEY,
  ms         INTEGER NOT NULL,
  n          INTEGER NOT NULL,
  action     TEXT NOT NULL,
  principal  TEXT NOT NULL,
  project    TEXT NOT NULL,
  target     TEXT NOT NULL,
  address    TEXT NOT NULL,
  request_id TEXT NOT NULL,
  details    TEXT NOT NULL,
  hash       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_entry ON audit (ms, n);
CREATE INDEX audit_project ON audit (project, ms, n);
CREATE INDEX audit_target ON audit (target, ms, n) WHERE target <> '';
`,
};
