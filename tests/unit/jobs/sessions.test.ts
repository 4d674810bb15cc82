import { expect, it } from 'vitest';
import { AppError, type ErrorCode } from '../../../src/errors.ts';
import type { FoundSession } from '../../../src/jobs/session-finder.ts';
import { createSessionService, type SessionServiceOptions } from '../../../src/jobs/sessions.ts';
import { callerOf } from '../../fakes/principals.ts';

const ANN = callerOf('ann');
const SESSION = '01J00000000000000000000001';

/**
 * Deletes a closed chat of Ann's.
 * @param turns ids of its jobs, in order
 * @param gone those that another call deletes after the page with them was read
 * @param hasRecord whether Redis has the session
 * @returns what was done, in order
 */
async function deletion(
  turns: readonly string[],
  {
    gone = [],
    failure,
    hasRecord = true,
  }: { gone?: readonly string[]; failure?: AppError; hasRecord?: boolean },
) {
  const done: string[] = [];
  const left = [...turns];
  // as: only these fields, operations and services are used.
  const options = {
    finder: {
      find: async () =>
        ({ row: { kind: 'chat', project: 'ann' }, record: hasRecord ? {} : null }) as FoundSession,
    },
    revive: async () => void done.push('revived'),
    sessionRecords: {
      open: async () => [],
      close: async () => {
        done.push('closed');
        return { found: true, open: [] };
      },
      remove: async () => done.push('removed') > 0,
    },
    jobs: {
      async delete(_principal: unknown, id: string) {
        if (failure !== undefined) throw failure;
        if (gone.includes(id)) throw new AppError('job.not_found', 'there is no such job');
        left.splice(left.indexOf(id), 1);
        done.push(id);
      },
    },
    store: {
      async run(_name: string, { limit, cursor }: { limit: number; cursor: string | null }) {
        const rest = left.filter((id) => cursor === null || id > cursor);
        const page = rest.slice(0, limit);
        const nextCursor = rest.length > page.length ? page.at(-1) : null;
        return { data: page.map((jobId) => ({ jobId })), nextCursor };
      },
    },
    copier: { catchUp: async () => undefined },
    endIdle: async () => undefined,
    messages: {},
  } as unknown as SessionServiceOptions;
  await createSessionService(options).delete(ANN, SESSION);
  return done;
}

it('a job that another call has deleted meanwhile hinders no deletion of its session', async () => {
  expect(await deletion(['a', 'b', 'c'], { gone: ['b'] })).toEqual(['closed', 'a', 'c', 'removed']);
});

it('the deletion of a session reads each page of its jobs once', async () => {
  const turns = Array.from({ length: 250 }, (_, index) => `j${String(index).padStart(3, '0')}`);
  expect(await deletion(turns, { gone: turns })).toEqual(['closed', 'removed']);
  expect(await deletion(turns, {})).toEqual(['closed', ...turns, 'removed']);
});

it('another failure ends the deletion, and the session is still there', async () => {
  const failure = new AppError('redis.unavailable', 'no Redis');
  await expect(deletion(['a'], { failure })).rejects.toBe(failure);
});

it('a session that Redis has lost is made again and closed before it is deleted', async () => {
  const done = await deletion(['a'], { hasRecord: false });
  expect(done).toEqual(['revived', 'closed', 'a', 'removed']);
});

/** Makes a chat whose first turn fails. Returns the ids of the sessions that were removed. */
async function creation(code: ErrorCode) {
  const removed: string[] = [];
  // as: only these fields, operations and services are used.
  const options = {
    finder: {
      find: async () => ({ row: { kind: 'chat', project: 'ann' } }) as FoundSession,
      options: async () => ({}),
    },
    jobs: {
      async create() {
        throw new AppError(code, 'no job');
      },
    },
    sessionRecords: {
      create: async () => ({ kind: 'created' }),
      remove: async (id: string) => removed.push(id) > 0,
    },
    providers: { get: () => ({ provider: { capabilities: { resume: true } } }) },
    resolverFor: () => async () => ({ provider: 'claude', cwd: '/srv' }),
    withinLimit: (_principal: unknown, create: () => Promise<unknown>) => create(),
    newId: () => ({ id: SESSION, createdAt: 0 }),
    messages: {},
  } as unknown as SessionServiceOptions;
  const made = createSessionService(options).create(ANN, { prompt: 'Hello' }, null);
  await expect(made).rejects.toMatchObject({ code });
  return removed;
}

it.each([
  ['limit.max_queued', [SESSION]],
  ['queue.full', [SESSION]],
  ['redis.unavailable', []],
] as const)(
  'a chat whose first turn fails with %s is removed where it has certainly no job',
  async (code, removed) => {
    expect(await creation(code)).toEqual(removed);
  },
);
