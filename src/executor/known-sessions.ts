import { LRUCache } from 'lru-cache';
import type { Outcome, TokenCounts } from '../protocol/outcome.ts';
import type { Copier } from '../store/copier.ts';
import type { Store } from '../store/store.ts';

const MAX_KNOWN = 1000;

/** A session as its CLI knows it. */
export interface FoundSession {
  readonly nativeSessionId: string;
  /** What it has used so far, by the count of its CLI. Null where no run has reported it. */
  readonly tokens: TokenCounts | null;
}

/**
 * Caches the sessions that continue here. All runs of a session happen on one node, so the result
 * of the last run is the newest state.
 */
export interface KnownSessions {
  /** Null when there is no such session. */
  find(sessionId: string): Promise<FoundSession | null>;
  /** What a session under the CLI's own id has used so far. Null where no run has reported it. */
  total(provider: string, nativeSessionId: string): Promise<TokenCounts | null>;
  /** Records the result of a run. */
  ran(outcome: Outcome, tokens: TokenCounts | null): void;
}

/**
 * Reads sessions from the copies in SQLite, which contain a run some milliseconds after its end.
 */
export const storedSessions =
  (store: Pick<Store, 'run'>, copier: Pick<Copier, 'catchUp'>) =>
  async (sessionId: string): Promise<FoundSession | null> => {
    await copier.catchUp();
    const origin = await store.run('sessions.find', { sessionId });
    return origin && { ...origin, tokens: await store.run('sessions.total', origin) };
  };

/** As {@link KnownSessions.total}, from this node's ledger. */
export const storedTotals =
  (store: Pick<Store, 'run'>): KnownSessions['total'] =>
  (provider, nativeSessionId) =>
    store.run('sessions.total', { provider, nativeSessionId });

/** @param total as {@link KnownSessions.total} */
export function createKnownSessions(
  lookUp: (sessionId: string) => Promise<FoundSession | null>,
  total: KnownSessions['total'],
): KnownSessions {
  const known = new LRUCache<string, FoundSession>({ max: MAX_KNOWN });

  return {
    total,
    async find(sessionId) {
      const found = known.get(sessionId) ?? (await lookUp(sessionId));
      if (found !== null) known.set(sessionId, found);
      return found;
    },
    ran({ sessionId, nativeSessionId }, tokens) {
      const before = sessionId === null ? undefined : known.get(sessionId);
      // The first run of a session is not cached: most sessions have no second one.
      if (sessionId === null || before === undefined) return;
      known.set(sessionId, {
        nativeSessionId: nativeSessionId ?? before.nativeSessionId,
        tokens: tokens ?? before.tokens,
      });
    },
  };
}
