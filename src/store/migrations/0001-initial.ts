import type { Migration } from '../migrations.ts';

/**
 * Wide columns (prompt, request, outcome) come last, and a list's part of them has columns of its
 * own, so a list never reads a megabyte of prompt. `events` and `transitions` have no foreign key
 * to `jobs`: the executing node stores events before the copy of the job arrives.
 */
export const initial: Migration = {
  version: 1,
  name: 'initial',
  sql: `
CREATE TABLE executions (
  execution_id       TEXT PRIMARY KEY,
  job_id             TEXT NOT NULL,
  attempt            INTEGER NOT NULL,
  boot_id            TEXT NOT NULL,
  provider           TEXT NOT NULL,
  state              TEXT NOT NULL CHECK (state IN ('intent', 'running', 'ended', 'delivered', 'superseded')),
  pid                INTEGER,
  created_at         TEXT NOT NULL,
  started_at         TEXT,
  ended_at           TEXT,
  input_tokens       INTEGER,
  output_tokens      INTEGER,
  cache_read_tokens  INTEGER,
  cache_write_tokens INTEGER,
  cost_usd           REAL,
  cost_basis         TEXT,
  outcome            TEXT,
  delivery           TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX executions_job ON executions (job_id);
CREATE INDEX executions_unsettled ON executions (created_at) WHERE state IN ('intent', 'running');
CREATE INDEX executions_outbox ON executions (ended_at) WHERE state = 'ended';
CREATE INDEX executions_settled ON executions (ended_at) WHERE state IN ('delivered', 'superseded');

CREATE TABLE jobs (
  id                TEXT PRIMARY KEY,
  rev               INTEGER NOT NULL,
  kind              TEXT NOT NULL CHECK (kind IN ('api', 'raw')),
  owner             TEXT NOT NULL,
  status            TEXT NOT NULL,
  wait_reason       TEXT,
  scheduled_for     TEXT,
  provider          TEXT NOT NULL,
  model             TEXT,
  cwd               TEXT NOT NULL,
  attempts          INTEGER NOT NULL,
  retry_of          TEXT,
  node              TEXT,
  created_at        TEXT NOT NULL,
  started_at        TEXT,
  finished_at       TEXT,
  updated_at        TEXT NOT NULL,
  session_id        TEXT,
  native_session_id TEXT,
  cancel_requested  INTEGER NOT NULL,
  prompt_preview    TEXT NOT NULL GENERATED ALWAYS AS (substr(prompt, 1, 200)) STORED,
  cost_usd          REAL GENERATED ALWAYS AS (json_extract(outcome, '$.usage.costUsd')) STORED,
  error             TEXT GENERATED ALWAYS AS (json_extract(outcome, '$.error')) STORED,
  tags              TEXT NOT NULL,
  metadata          TEXT NOT NULL,
  request           TEXT NOT NULL,
  outcome           TEXT,
  prompt            TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_owner ON jobs (owner, id);
CREATE INDEX jobs_status ON jobs (status, id);
CREATE INDEX jobs_created ON jobs (created_at);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_session ON jobs (session_id, finished_at) WHERE session_id IS NOT NULL;

CREATE TABLE job_tags (
  tag    TEXT NOT NULL,
  job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  PRIMARY KEY (tag, job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_tags_job ON job_tags (job_id);

CREATE TABLE transitions (
  job_id TEXT NOT NULL,
  rev    INTEGER NOT NULL,
  status TEXT NOT NULL,
  at     TEXT NOT NULL,
  node   TEXT,
  PRIMARY KEY (job_id, rev)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  job_id  TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  at      TEXT NOT NULL,
  body    TEXT NOT NULL,
  raw     TEXT,
  PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`,
};
