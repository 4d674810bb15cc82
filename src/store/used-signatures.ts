/** The signatures of requests that the executor has accepted, each of them once. */
import type { DatabaseSync } from 'node:sqlite';
import { SIGNATURE_WINDOW_MS } from '../auth/request-signature.ts';
import { messageOf } from '../errors.ts';
import { all, change } from './sql.ts';
import type { Store } from './store.ts';

/**
 * Milliseconds. A signature is valid for at most twice its window: from a clock that is ahead to
 * one that is behind. It is kept ten times as long, in case the clock is set back.
 */
export const KEEP_SIGNATURES_MS = 20 * SIGNATURE_WINDOW_MS;
/** Old ones that one use removes: more than it adds, few enough to take no time. */
const PURGED_AT_ONCE = 100;

export const signatureWrites = {
  /**
   * Returns whether the signature is new. Also removes some of those that nothing accepts by now.
   */
  'signatures.use'(
    db: DatabaseSync,
    args: {
      readonly signature: string;
      /** Milliseconds since the epoch. */
      readonly now: number;
    },
  ): boolean {
    const old = all<{ signature: string }>(
      db,
      'SELECT signature FROM used_signatures WHERE accepted_at < ? ORDER BY accepted_at LIMIT ?',
      args.now - KEEP_SIGNATURES_MS,
      PURGED_AT_ONCE,
    );
    for (const { signature } of old) change(db, 'DELETE FROM used_signatures WHERE signature = ?', signature);
    const sql =
      'INSERT INTO used_signatures (signature, accepted_at) VALUES (?, ?) ON CONFLICT (signature) DO NOTHING';
    return change(db, sql, args.signature, args.now) === 1;
  },
};

/** Which signatures were accepted before. */
export interface UsedSignatures {
  /**
   * Resolves with whether the signature is new; from then on it is not, also after a restart.
   * @throws AppError store.unavailable
   */
  use(signature: string): Promise<boolean>;
  /** Why none can be remembered, and so none accepted; null: the last one was. */
  problem(): string | null;
}

/** {@link UsedSignatures}, kept in the store. `now`: milliseconds since the epoch. */
export const createUsedSignatures = (
  store: Pick<Store, 'run'>,
  now: () => number = Date.now,
): UsedSignatures => {
  let problem: string | null = null;
  return {
    async use(signature) {
      try {
        const isNew = await store.run('signatures.use', { signature, now: now() });
        problem = null;
        return isNew;
      } catch (error) {
        problem = messageOf(error);
        throw error;
      }
    },
    problem: () => problem,
  };
};
