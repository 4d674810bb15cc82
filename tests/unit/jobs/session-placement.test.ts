import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { ADMIN_PRINCIPAL } from '../../../src/auth/principal.ts';
import { createSessionPlacement } from '../../../src/jobs/session-placement.ts';
import type { JobRecord } from '../../../src/records/ports.ts';
import type { SessionRecord } from '../../../src/records/session-ports.ts';
import type { SessionRow } from '../../../src/store/session-rows.ts';
import type { Store } from '../../../src/store/store.ts';
import { callerOf } from '../../fakes/principals.ts';

const ANN = callerOf('ann');
const BOB = callerOf('bob');
const SESSION = '01J00000000000000000000001';

type Found = Pick<JobRecord, 'id' | 'sessionId' | 'status' | 'nativeSessionId' | 'project'>;

interface Known {
  /** The record of the session. */
  readonly session?: Pick<SessionRecord, 'project' | 'options' | 'node' | 'status'>;
  /** What the copies say of a session that no CLI has begun. */
  readonly copy?: Pick<SessionRow, 'project' | 'provider' | 'status'>;
}

/**
 * A store with one session of Ann's, which counts the lookups.
 * @param record of a job that the store does not have yet
 */
function place(record?: Found, { session, copy }: Known = {}) {
  let now = 0;
  let asked = 0;
  const revived: string[] = [];
  const origin = { project: 'ann', provider: 'claude', node: 'n1', nativeSessionId: 'x' };
  // as: only this operation is used.
  const run = (async (name: string, args: { readonly sessionId?: string }) => {
    if (name === 'sessions.get') return copy ?? null;
    asked += 1;
    return args.sessionId === SESSION ? origin : null;
  }) as Store['run'];
  const request = resolvedPrompt({ provider: 'claude' });
  // as: only these fields are used.
  const read = async (id: string) => (id === record?.id ? ({ ...record, request } as JobRecord) : null);
  let forget: (ids: readonly string[]) => void = () => undefined;
  const copier = {
    catchUp: async () => {},
    onSessionsEnded(listener: typeof forget) {
      forget = listener;
    },
  };
  const placement = createSessionPlacement({
    ...{ store: { run }, copier, records: { read }, now: () => now },
    sessionRecords: { read: async () => (session ?? null) as SessionRecord | null },
    revive: async (id) => void revived.push(id),
  });
  return {
    async of(principal: typeof ANN, sessionId: string | null = SESSION, provider = 'claude') {
      return (await placement(principal, resolvedPrompt({ sessionId, provider }))).node;
    },
    async projectOf(principal: typeof ANN, sessionId: string | null = SESSION) {
      return (await placement(principal, resolvedPrompt({ sessionId, provider: 'claude' }))).project;
    },
    asked: () => asked,
    revived,
    ended: () => forget([SESSION]),
    later: (ms: number) => {
      now += ms;
    },
  };
}

it('a job belongs to the project of its session, and without one to that of its maker', async () => {
  const { projectOf } = place();
  const asked = [projectOf(ANN), projectOf(ADMIN_PRINCIPAL), projectOf(ADMIN_PRINCIPAL, null)];
  expect(await Promise.all(asked)).toEqual(['ann', 'ann', 'default']);
  expect(await projectOf(ADMIN_PRINCIPAL)).toBe('ann'); // while it is remembered
});

describe('where a request runs', () => {
  it('a session that Redis does not know is made again before its next turn, for those who may see it', async () => {
    const { of, revived } = place();
    await expect(of(BOB)).rejects.toMatchObject({ code: 'session.not_found' });
    expect(revived).toEqual([]);
    await of(ANN);
    expect(revived).toEqual([SESSION]);
    const options = { provider: 'claude', cwd: '/' };
    const known = place(undefined, { session: { project: 'ann', options, node: 'n1', status: 'ready' } });
    await known.of(ANN);
    expect(known.revived).toEqual([]);
  });

  it('is anywhere without a session, and on the session’s node with one', async () => {
    const { of } = place();
    expect(await of(ANN, null)).toBeNull();
    expect(await of(ANN)).toBe('n1');
    expect(await of(ADMIN_PRINCIPAL)).toBe('n1');
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

  it('is looked up again once the session is closed or deleted, by any server', async () => {
    const { of, asked, ended } = place();
    await of(ANN);
    await of(ANN);
    expect(asked()).toBe(1);
    ended();
    await of(ANN);
    expect(asked()).toBe(2);
  });

  it('is hidden from other callers, also while it is remembered', async () => {
    const { of } = place();
    await of(ANN);
    await expect(of(BOB)).rejects.toMatchObject({ code: 'session.not_found' });
    await expect(of(ANN, '01J00000000000000000000009')).rejects.toMatchObject({ code: 'session.not_found' });
  });

  it('is decided later for a session whose first job has not ended, or whose copy is not there', async () => {
    const id = '01J00000000000000000000002';
    const first = { id, sessionId: id, status: 'running', nativeSessionId: null, project: 'ann' } as const;
    for (const record of [first, { ...first, status: 'failed', nativeSessionId: 'n' } as const]) {
      const { of, asked } = place(record);
      expect([await of(ANN, id), await of(ADMIN_PRINCIPAL, id)]).toEqual([null, null]);
      expect(asked()).toBe(2);
      await expect(of(BOB, id)).rejects.toMatchObject({ code: 'session.not_found' });
      await expect(of(ANN, id, 'codex')).rejects.toMatchObject({ code: 'request.invalid' });
    }
    await expect(place({ ...first, sessionId: SESSION }).of(ANN, id)).rejects.toMatchObject({
      code: 'session.not_found',
    });
  });

  it('is anywhere for a session that no CLI has begun, also long after its first job has ended', async () => {
    const id = '01J00000000000000000000002';
    const first = { id, sessionId: id, status: 'failed', nativeSessionId: null, project: 'ann' } as const;
    expect(await place(first).of(ANN, id)).toBeNull();
    const copy = { project: 'ann', provider: 'claude', status: 'ready' } as const;
    expect(await place(undefined, { copy }).of(ANN, id)).toBeNull();
    await expect(place(undefined, { copy }).of(BOB, id)).rejects.toMatchObject({ code: 'session.not_found' });
  });

  it('is the node of its record, and nowhere when it is closed', async () => {
    const options = { provider: 'claude', cwd: '/' };
    const session = { project: 'ann', options, node: 'n2', status: 'ready' } as const;
    const { of } = place(undefined, { session });
    expect(await of(ANN)).toBe('n2');
    await expect(of(BOB)).rejects.toMatchObject({ code: 'session.not_found' });
    const closed = [
      place(undefined, { session: { ...session, status: 'closed' } }),
      place(undefined, { copy: { project: 'ann', provider: 'claude', status: 'closed' } }),
    ];
    for (const one of closed) {
      await expect(one.of(ANN, '01J00000000000000000000003')).rejects.toMatchObject({
        code: 'session.closed',
      });
      await expect(one.of(BOB, '01J00000000000000000000003')).rejects.toMatchObject({
        code: 'session.not_found',
      });
    }
  });

  it('is refused for another provider, also while it is remembered', async () => {
    const { of } = place();
    await expect(of(ANN, SESSION, 'codex')).rejects.toMatchObject({ code: 'request.invalid' });
    await of(ANN);
    await expect(of(ANN, SESSION, 'codex')).rejects.toMatchObject({ code: 'request.invalid' });
  });
});
