import { describe, expect, it } from 'vitest';
import { wireError } from '../../../src/errors.ts';
import { createKnownSessions, type FoundSession } from '../../../src/executor/known-sessions.ts';
import { jobOutcome } from '../../../src/protocol/outcome.ts';

const TOKENS = { inputTokens: 1, outputTokens: 2, cacheReadTokens: 0, cacheWriteTokens: 0 };
const outcome = (sessionId: string | null, nativeSessionId: string | null) => ({
  ...jobOutcome('failed', wireError('execution.crashed', 'it ended')),
  sessionId,
  nativeSessionId,
});

/** A history that counts how often it is asked. */
function history(found: FoundSession | null) {
  const asked: string[] = [];
  const sessions = createKnownSessions(
    async (id) => {
      asked.push(id);
      return found;
    },
    async () => null,
  );
  return { sessions, asked };
}

describe('a session that goes on', () => {
  it('is looked up once, and then is what its last run has said', async () => {
    const { sessions, asked } = history({ nativeSessionId: 'a', tokens: null });
    expect(await sessions.find('s')).toEqual({ nativeSessionId: 'a', tokens: null });
    sessions.ran(outcome('s', 'b'), TOKENS);
    expect(await sessions.find('s')).toEqual({ nativeSessionId: 'b', tokens: TOKENS });
    expect(asked).toEqual(['s']);
  });

  it('keeps what a run that said nothing has not changed', async () => {
    const { sessions } = history({ nativeSessionId: 'a', tokens: TOKENS });
    await sessions.find('s');
    sessions.ran(outcome('s', null), null);
    expect(await sessions.find('s')).toEqual({ nativeSessionId: 'a', tokens: TOKENS });
  });

  it('is looked up again when it was not continued, and when there was none', async () => {
    const { sessions, asked } = history(null);
    sessions.ran(outcome('s', 'b'), null);
    sessions.ran(outcome(null, 'b'), null);
    expect(await sessions.find('s')).toBeNull();
    expect(await sessions.find('s')).toBeNull();
    expect(asked).toEqual(['s', 's']);
  });

  it('is forgotten when a thousand others have gone on since', async () => {
    const { sessions, asked } = history({ nativeSessionId: 'a', tokens: null });
    for (let i = 0; i <= 1000; i += 1) await sessions.find(`s${i}`);
    asked.length = 0;
    await sessions.find('s1000');
    await sessions.find('s1');
    expect(asked).toEqual([]);
    await sessions.find('s0');
    expect(asked).toEqual(['s0']);
  });
});
