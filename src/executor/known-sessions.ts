import type { Outcome, TokenCounts } from '../protocol/outcome.ts';
import type { FoundSession } from './prepare.ts';

/** A conversation goes on within minutes, or is looked up again. */
const MAX_KNOWN = 1000;

/** What is behind sessions that go on here: their runs are all on this node, so what the last one said is the truth. */
export interface KnownSessions {
  /** Null when it is not known to anybody. */
  find(sessionId: string): Promise<FoundSession | null>;
  /** A run of it has ended. */
  ran(outcome: Outcome, tokens: TokenCounts | null): void;
}

/** @param lookUp in the history, which knows a run some milliseconds after its end */
export function createKnownSessions(
  lookUp: (sessionId: string) => Promise<FoundSession | null>,
): KnownSessions {
  /** The one that was used longest ago comes first. */
  const known = new Map<string, FoundSession>();

  function remember(sessionId: string, found: FoundSession): void {
    known.delete(sessionId);
    known.set(sessionId, found);
    const [oldest] = known.keys();
    if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
  }

  return {
    async find(sessionId) {
      const found = known.get(sessionId) ?? (await lookUp(sessionId));
      if (found !== null) remember(sessionId, found);
      return found;
    },
    ran({ sessionId, nativeSessionId }, tokens) {
      const before = sessionId === null ? undefined : known.get(sessionId);
      // The first run of a session is not remembered: most have no second one.
      if (sessionId === null || before === undefined) return;
      remember(sessionId, {
        nativeSessionId: nativeSessionId ?? before.nativeSessionId,
        tokens: tokens ?? before.tokens,
      });
    },
  };
}
