/** Sessions: where each one continues, and the tokens it has used. */
import type { DatabaseSync } from 'node:sqlite';
import type { TokenCounts } from '../protocol/outcome.ts';
import type { JobCopy } from './jobs.ts';
import { change, first } from './sql.ts';

/** A session under the id that its CLI gave it. */
export interface NativeSession {
  readonly provider: string;
  readonly nativeSessionId: string;
}

/** Where a session continues: from its newest finished job that has a native session. */
export interface SessionOrigin {
  readonly project: string;
  readonly provider: string;
  readonly cwd: string;
  readonly node: string | null;
  readonly nativeSessionId: string;
}

/** Stores the total use of a session, replacing the earlier total. */
export function saveSessionTotal(
  db: DatabaseSync,
  { provider, nativeSessionId }: NativeSession,
  tokens: TokenCounts,
  at: string,
): void {
  change(
    db,
    `INSERT INTO session_totals (provider, native_session_id, input_tokens, output_tokens, cache_read_tokens,
       cache_write_tokens, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (provider, native_session_id) DO UPDATE SET input_tokens = excluded.input_tokens,
       output_tokens = excluded.output_tokens, cache_read_tokens = excluded.cache_read_tokens,
       cache_write_tokens = excluded.cache_write_tokens, updated_at = excluded.updated_at`,
    provider,
    nativeSessionId,
    tokens.inputTokens,
    tokens.outputTokens,
    tokens.cacheReadTokens,
    tokens.cacheWriteTokens,
    at,
  );
}

/**
 * Stores the sessions of a finished job, whose events are stored already: each session of its
 * events, with the node that ran the attempt, and the session of its outcome.
 */
export function recordSessions(db: DatabaseSync, { id, node, outcome }: JobCopy): void {
  change(
    db,
    `INSERT INTO job_sessions (session_id, job_id, node, native_session_id)
     SELECT announced.body ->> '$.sessionId', announced.job_id, running.body ->> '$.node', announced.body ->> '$.nativeSessionId'
     FROM events AS announced LEFT JOIN events AS running
       ON running.job_id = announced.job_id AND running.attempt = announced.attempt AND running.kind = 'job.running'
     WHERE announced.job_id = ? AND announced.kind = 'session' AND announced.body ->> '$.sessionId' IS NOT NULL
     ON CONFLICT DO UPDATE SET node = excluded.node, native_session_id = excluded.native_session_id`,
    id,
  );
  const { sessionId = null, nativeSessionId = null } = outcome ?? {};
  if (sessionId === null || nativeSessionId === null) return;
  change(
    db,
    `INSERT INTO job_sessions (session_id, job_id, node, native_session_id) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET native_session_id = excluded.native_session_id`,
    sessionId,
    id,
    node,
    nativeSessionId,
  );
}

export const sessionReads = {
  /** null: no finished job of the session reached its CLI. */
  'sessions.find'(db: DatabaseSync, args: { readonly sessionId: string }): SessionOrigin | null {
    return first<SessionOrigin>(
      db,
      `SELECT project, provider, cwd, job_sessions.node, native_session_id AS nativeSessionId
       FROM job_sessions JOIN jobs ON jobs.id = job_id WHERE job_sessions.session_id = ?
       ORDER BY finished_at DESC, jobs.id DESC LIMIT 1`,
      args.sessionId,
    );
  },

  /** The tokens that the CLI reported last for the whole session; null: it reported none. */
  'sessions.total'(db: DatabaseSync, args: NativeSession): TokenCounts | null {
    return first<TokenCounts>(
      db,
      `SELECT input_tokens AS inputTokens, output_tokens AS outputTokens, cache_read_tokens AS cacheReadTokens,
         cache_write_tokens AS cacheWriteTokens FROM session_totals
       WHERE provider = ? AND native_session_id = ?`,
      args.provider,
      args.nativeSessionId,
    );
  },
};
