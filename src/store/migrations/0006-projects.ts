import type { Migration } from '../migrations.ts';

/**
 * Adds `project`, `session_id` and `failures` to the jobs, and `project` to the usage. `owner`
 * becomes
 * `principal`: it always held the id of the principal that created the job.
 *
 * `jobs` is rebuilt, because a column that ALTER TABLE adds would lie behind the prompt, and
 * reading it would read the prompt too. The values of older jobs are those that the records derive
 * (record-codec.ts). A damaged outcome or request does not stop the migration.
 */
export const projects: Migration = {
  version: 6,
  name: 'projects',
  sql: `
CREATE TABLE jobs_new (
  id                TEXT PRIMARY KEY,
  rev               INTEGER NOT NULL,
  kind              TEXT NOT NULL CHECK (kind IN ('api', 'raw')),
  project           TEXT NOT NULL DEFAULT 'default',
  principal         TEXT NOT NULL,
  session_id        TEXT NOT NULL,
  status            TEXT NOT NULL,
  wait_reason       TEXT,
  scheduled_for     TEXT,
  provider          TEXT NOT NULL,
  model             TEXT,
  cwd               TEXT NOT NULL,
  attempts          INTEGER NOT NULL,
  failures          INTEGER NOT NULL,
  retry_of          TEXT,
  node              TEXT,
  created_at        TEXT NOT NULL,
  started_at        TEXT,
  finished_at       TEXT,
  updated_at        TEXT NOT NULL,
  cancel_requested  INTEGER NOT NULL,
  prompt_preview    TEXT NOT NULL GENERATED ALWAYS AS (substr(prompt, 1, 200)) STORED,
  cost_usd          REAL GENERATED ALWAYS AS
    (CASE WHEN json_valid(outcome) THEN json_extract(outcome, '$.usage.costUsd') END) STORED,
  error             TEXT GENERATED ALWAYS AS
    (CASE WHEN json_valid(outcome) THEN json_extract(outcome, '$.error') END) STORED,
  tags              TEXT NOT NULL,
  metadata          TEXT NOT NULL,
  request           TEXT NOT NULL,
  outcome           TEXT,
  prompt            TEXT NOT NULL
) STRICT;
INSERT INTO jobs_new (id, rev, kind, principal, session_id, status, wait_reason, scheduled_for, provider, model, cwd,
    attempts, failures, retry_of, node, created_at, started_at, finished_at, updated_at, cancel_requested, tags,
    metadata, request, outcome, prompt)
  SELECT id, rev, kind, owner,
    coalesce(CASE WHEN json_valid(outcome) THEN outcome ->> '$.sessionId' END,
      CASE WHEN json_valid(request) THEN request ->> '$.sessionId' END, id),
    status, wait_reason, scheduled_for, provider, model, cwd, attempts,
    CASE WHEN status IN ('running', 'succeeded', 'cancelled') THEN max(attempts - 1, 0) ELSE attempts END,
    retry_of, node, created_at, started_at, finished_at, updated_at, cancel_requested, tags, metadata, request,
    outcome, prompt
  FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_new RENAME TO jobs;
CREATE INDEX jobs_principal ON jobs (principal, id);
CREATE INDEX jobs_status ON jobs (status, id);
CREATE INDEX jobs_created ON jobs (created_at);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE usage RENAME COLUMN owner TO principal;
ALTER TABLE usage ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
DROP INDEX usage_owner;
CREATE INDEX usage_principal ON usage (principal, ended_at);
`,
};
