import type { Migration } from '../migrations.ts';

/**
 * What sessions have when they are terminals, and the ledger of their programs: it is apart from
 * `executions`, because these have no job that gets an outcome.
 */
export const terminals: Migration = {
  version: 16,
  name: 'terminals',
  sql: `
ALTER TABLE sessions ADD COLUMN matched_line TEXT;
ALTER TABLE sessions ADD COLUMN cols INTEGER;
ALTER TABLE sessions ADD COLUMN rows INTEGER;
ALTER TABLE sessions ADD COLUMN exit_code INTEGER;
ALTER TABLE session_events ADD COLUMN matched_line TEXT;

CREATE TABLE terminals (
  execution_id TEXT PRIMARY KEY,
  session_id   TEXT NOT NULL,
  boot_id      TEXT NOT NULL,
  provider     TEXT NOT NULL,
  pid          INTEGER,
  created_at   TEXT NOT NULL,
  started_at   TEXT,
  ended_at     TEXT,
  error_code   TEXT
) STRICT;
CREATE INDEX terminals_open ON terminals (created_at) WHERE ended_at IS NULL;
CREATE INDEX terminals_ended ON terminals (ended_at) WHERE ended_at IS NOT NULL;
`,
};
