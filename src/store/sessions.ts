/** Conversations: where each one goes on, and what it has used. */
import type { DatabaseSync } from 'node:sqlite';
import type { TokenCounts } from '../protocol/outcome.ts';
import type { ProjectedJob, SessionOrigin } from './rows.ts';
import { change, first } from './statement.ts';

/** A conversation as its CLI knows it. */
export interface NativeSession {
  readonly provider: string;
  readonly nativeSessionId: string;
}

/** Keeps what the session has used in all, in place of what was told before. */
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
 * Keeps the sessions of a finished job, whose events are here: those it has announced, each with the node that ran that
 * attempt, and that of its outcome.
 */
export function recordSessions(db: DatabaseSync, { id, node, outcome }: ProjectedJob): void {
  change(
    db,
    `INSERT INTO sessions (session_id, job_id, node, native_session_id)
     SELECT said.body ->> '$.sessionId', said.job_id, running.body ->> '$.node', said.body ->> '$.nativeSessionId'
     FROM events AS said LEFT JOIN events AS running
       ON running.job_id = said.job_id AND running.attempt = said.attempt AND running.kind = 'job.running'
     WHERE said.job_id = ? AND said.kind = 'session' AND said.body ->> '$.sessionId' IS NOT NULL
     ON CONFLICT DO UPDATE SET node = excluded.node, native_session_id = excluded.native_session_id`,
    id,
  );
  const { sessionId = null, nativeSessionId = null } = outcome ?? {};
  if (sessionId === null || nativeSessionId === null) return;
  change(
    db,
    `INSERT INTO sessions (session_id, job_id, node, native_session_id) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET native_session_id = excluded.native_session_id`,
    sessionId,
    id,
    node,
    nativeSessionId,
  );
}

export const sessionReads = {
  /** Where a session goes on: where the newest of its finished jobs left it. Jobs that never reached the CLI have none. */
  'sessions.find'(db: DatabaseSync, args: { readonly sessionId: string }): SessionOrigin | null {
    return first<SessionOrigin>(
      db,
      `SELECT owner, provider, cwd, sessions.node, native_session_id AS nativeSessionId
       FROM sessions JOIN jobs ON jobs.id = job_id WHERE session_id = ? ORDER BY finished_at DESC, jobs.id DESC LIMIT 1`,
      args.sessionId,
    );
  },

  /** What a session has used as its CLI told last; null: no run of it has told. */
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
