import { LRUCache } from 'lru-cache';
import type { Outcome, TokenCounts } from '../protocol/outcome.ts';
import type { FoundSession } from './prepare.ts';

const MAX_KNOWN = 1000;

/**
 * Caches the sessions that continue here. All runs of a session happen on one node, so the result of the last run is
 * the newest state.
 */
export interface KnownSessions {
  /** Null when there is no such session. */
  find(sessionId: string): Promise<FoundSession | null>;
  /** Records the result of a run. */
  ran(outcome: Outcome, tokens: TokenCounts | null): void;
}

/** @param lookUp reads the history, which contains a run some milliseconds after its end */
export function createKnownSessions(
  lookUp: (sessionId: string) => Promise<FoundSession | null>,
): KnownSessions {
  const known = new LRUCache<string, FoundSession>({ max: MAX_KNOWN });

  return {
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
