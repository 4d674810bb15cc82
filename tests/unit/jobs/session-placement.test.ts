import { describe, expect, it } from 'vitest';
import { createSessionPlacement } from '../../../src/jobs/session-placement.ts';
import type { Store } from '../../../src/store/store.ts';
import { resolvedPrompt } from '../providers/resolved-prompt.ts';

const ANN = { id: 'ann', admin: false };
const BOB = { id: 'bob', admin: false };
const ADMIN = { id: 'root', admin: true };
const SESSION = '01J00000000000000000000001';

/** A store with one session of Ann's, which counts the lookups. */
function place() {
  let now = 0;
  let asked = 0;
  const origin = { principal: 'ann', provider: 'claude', node: 'n1', nativeSessionId: 'x' };
  // as: only this operation is used.
  const run = (async (_name: string, { sessionId }: { sessionId: string }) => {
    asked += 1;
    return sessionId === SESSION ? origin : null;
  }) as Store['run'];
  const placement = createSessionPlacement({ run }, { catchUp: async () => {} }, () => now);
  return {
    of: (principal: typeof ANN, sessionId: string | null = SESSION, provider = 'claude') =>
      placement(principal, resolvedPrompt({ sessionId, provider })),
    asked: () => asked,
    later: (ms: number) => {
      now += ms;
    },
  };
}

describe('where a request runs', () => {
  it('is anywhere without a session, and on the session’s node with one', async () => {
    const { of } = place();
    expect(await of(ANN, null)).toBeNull();
    expect(await of(ANN)).toBe('n1');
    expect(await of(ADMIN)).toBe('n1');
  });

  it('is remembered for a minute for the caller who used the session', async () => {
    const { of, asked, later } = place();
    await of(ANN);
    later(59_999);
    expect(await of(ANN)).toBe('n1');
    expect(asked()).toBe(1);
    later(1);
    await of(ANN);
    expect(asked()).toBe(2);
  });

  it('is hidden from other callers, also while it is remembered', async () => {
    const { of } = place();
    await of(ANN);
    await expect(of(BOB)).rejects.toMatchObject({ code: 'session.not_found' });
    await expect(of(ANN, '01J00000000000000000000009')).rejects.toMatchObject({ code: 'session.not_found' });
  });

  it('is refused for another provider, also while it is remembered', async () => {
    const { of } = place();
    await expect(of(ANN, SESSION, 'codex')).rejects.toMatchObject({ code: 'request.invalid' });
    await of(ANN);
    await expect(of(ANN, SESSION, 'codex')).rejects.toMatchObject({ code: 'request.invalid' });
  });
});
