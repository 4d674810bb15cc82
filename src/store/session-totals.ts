import type { DatabaseSync } from 'node:sqlite';
import type { TokenCounts } from '../protocol/outcome.ts';
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

export const sessionTotalReads = {
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
