import type { Migration } from '../migrations.ts';

/**
 * Every session in the events or the outcome of a finished job, including lost jobs. Filled when
 * the job's end is copied.
 */
export const sessions: Migration = {
  version: 4,
  name: 'sessions',
  sql: `
CREATE TABLE sessions (
  session_id        TEXT NOT NULL,
  job_id            TEXT NOT NULL,
  node              TEXT,
  native_session_id TEXT NOT NULL,
  PRIMARY KEY (session_id, job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_job ON sessions (job_id);
CREATE INDEX events_sessions ON events (job_id) WHERE kind IN ('session', 'job.running');

INSERT INTO sessions SELECT session_id, id, node, native_session_id FROM jobs
  WHERE session_id IS NOT NULL AND native_session_id IS NOT NULL AND finished_at IS NOT NULL;
INSERT INTO sessions SELECT session ->> '$.sessionId', id, node, session ->> '$.nativeSessionId' FROM (
  SELECT jobs.id, jobs.node, jobs.provider,
    CASE WHEN json_valid(events.body) THEN events.body END AS session,
    CASE WHEN json_valid(jobs.outcome) THEN jobs.outcome END AS outcome
  FROM events JOIN jobs ON jobs.id = events.job_id
  WHERE events.kind = 'session' AND jobs.finished_at IS NOT NULL
) WHERE session ->> '$.sessionId' IS NOT NULL AND session ->> '$.nativeSessionId' IS NOT NULL
    AND coalesce(outcome ->> '$.provider', provider) = provider
  ON CONFLICT DO NOTHING;

DROP INDEX jobs_session;
ALTER TABLE jobs DROP COLUMN session_id;
ALTER TABLE jobs DROP COLUMN native_session_id;
`,
};
