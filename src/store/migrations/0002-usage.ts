import type { Migration } from '../migrations.ts';

/**
 * `usage` has one row per execution of every node and outlives the job: owner, model and tags are
 * copied into it.
 * `session_totals` has the last totals of CLIs that count per session. Only the node that ran the
 * session has them.
 */
export const usage: Migration = {
  version: 2,
  name: 'usage',
  sql: `
CREATE TABLE usage (
  execution_id       TEXT PRIMARY KEY,
  job_id             TEXT NOT NULL,
  ended_at           TEXT NOT NULL,
  owner              TEXT NOT NULL,
  provider           TEXT NOT NULL,
  model              TEXT,
  tags               TEXT NOT NULL,
  status             TEXT NOT NULL,
  input_tokens       INTEGER NOT NULL,
  output_tokens      INTEGER NOT NULL,
  cache_read_tokens  INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  cost_usd           REAL,
  cost_basis         TEXT NOT NULL CHECK (cost_basis IN ('reported', 'estimated', 'unknown', 'none'))
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_ended ON usage (ended_at);
CREATE INDEX usage_owner ON usage (owner, ended_at);

CREATE TABLE session_totals (
  provider           TEXT NOT NULL,
  native_session_id  TEXT NOT NULL,
  input_tokens       INTEGER NOT NULL,
  output_tokens      INTEGER NOT NULL,
  cache_read_tokens  INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  updated_at         TEXT NOT NULL,
  PRIMARY KEY (provider, native_session_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_executions ON events (job_id) WHERE kind = 'execution.finished';
`,
};
