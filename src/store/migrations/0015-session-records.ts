import type { Migration } from '../migrations.ts';

/**
 * Copies of the records of sessions, with their streams, and of approvals. What was `sessions` says
 * how the sessions of each job continue.
 */
export const sessionRecords: Migration = {
  version: 15,
  name: 'session-records',
  sql: `
ALTER TABLE sessions RENAME TO job_sessions;
CREATE TABLE sessions (
  id                TEXT PRIMARY KEY,
  rev               INTEGER NOT NULL,
  kind              TEXT NOT NULL CHECK (kind IN ('chat', 'terminal')),
  explicit          INTEGER NOT NULL,
  name              TEXT,
  status            TEXT NOT NULL,
  status_reason     TEXT,
  project           TEXT NOT NULL,
  principal         TEXT NOT NULL,
  provider          TEXT NOT NULL,
  model             TEXT,
  cwd               TEXT NOT NULL,
  native_session_id TEXT,
  node              TEXT,
  turns             INTEGER NOT NULL,
  last_seq          INTEGER NOT NULL,
  created_at        TEXT NOT NULL,
  last_activity_at  TEXT NOT NULL,
  closed_at         TEXT,
  tags              TEXT NOT NULL,
  metadata          TEXT NOT NULL,
  options           TEXT NOT NULL,
  fork              TEXT,
  rules             TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_activity ON sessions (last_activity_at, id);
CREATE INDEX sessions_status ON sessions (status);

CREATE TABLE session_events (
  session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  seq        INTEGER NOT NULL,
  first_seq  INTEGER NOT NULL,
  job_id     TEXT,
  job_seq    INTEGER,
  status     TEXT,
  reason     TEXT,
  at         TEXT,
  PRIMARY KEY (session_id, first_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
  id         TEXT PRIMARY KEY,
  job_id     TEXT NOT NULL,
  session_id TEXT NOT NULL,
  project    TEXT NOT NULL,
  status     TEXT NOT NULL,
  approval   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_job ON approvals (job_id, id);
CREATE INDEX approvals_session ON approvals (session_id, id);
CREATE INDEX approvals_pending ON approvals (id) WHERE status = 'pending';
`,
};
