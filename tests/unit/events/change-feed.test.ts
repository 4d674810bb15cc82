import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ADMIN_PRINCIPAL, type Principal } from '../../../src/auth/principal.ts';
import { createChangeFeed } from '../../../src/events/change-feed.ts';
import type { ChangeQuery } from '../../../src/http/ports.ts';
import type { Change } from '../../../src/protocol/change.ts';
import { FakeChangeLog, LOG_CHANNEL } from '../../fakes/change-log.ts';
import { callerOf } from '../../fakes/principals.ts';
import { eventually } from '../../helpers/eventually.ts';

const ALICE: Principal = callerOf('alice');
const ALL: ChangeQuery = { after: null, status: [], batch: null };

function feedBench({ keepMs = 1e15, cursorEveryMs = 1e9 } = {}) {
  const log = new FakeChangeLog();
  const { doorbells } = log;
  const logger = pino({ enabled: false });
  const feed = createChangeFeed({ log, doorbells, channel: LOG_CHANNEL, keepMs, cursorEveryMs, logger });
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort());
  return {
    log,
    feed,
    leaving,
    /** Collects what a reader gets; resolves once it has its first event. */
    async follow(principal: Principal, query: Partial<ChangeQuery> = {}) {
      const taken: (readonly Change[])[] = [];
      const ended = (async () => {
        for await (const batch of feed.read(principal, { ...ALL, ...query }, leaving.signal))
          taken.push(batch);
      })();
      ended.catch(() => undefined); // looked at by the tests that expect it
      await Promise.race([ended, eventually(() => taken.length > 0)]);
      return { taken, ended, cursors: () => taken.flat().map(({ cursor }) => cursor) };
    },
  };
}

describe('a reader of all changes', () => {
  it('without a cursor learns where it begins, and gets what comes from then on', async () => {
    const { log, follow } = feedBench();
    const old = log.add('alice');
    const reader = await follow(ADMIN_PRINCIPAL);
    expect(reader.taken).toEqual([[{ cursor: old, kind: 'cursor', at: expect.any(String) }]]);
    const next = log.add('alice', { kind: 'job.created' });
    await eventually(() => reader.taken.length === 2);
    expect(reader.taken[1]).toMatchObject([{ cursor: next, kind: 'job.created', status: 'queued' }]);
  });

  it('gets the approvals of its project, if it may read them', async () => {
    const { log, follow } = feedBench();
    const mayRead = await follow(callerOf('alice', 'alice', ['jobs:read', 'approvals:read']));
    const others = [await follow(ALICE), await follow(callerOf('bob', 'bob', ['approvals:read']))];
    const asked = log.ask('alice');
    await eventually(() => mayRead.taken.length === 2);
    expect(mayRead.taken[1]).toMatchObject([{ cursor: asked, kind: 'approval.changed', status: 'pending' }]);
    for (const { taken } of others) expect(taken).toHaveLength(1);
  });

  it('gets the sessions of its project, if it may read them', async () => {
    const { log, follow } = feedBench();
    const mayRead = await follow(callerOf('alice', 'alice', ['jobs:read', 'sessions:read']));
    const others = [
      await follow(callerOf('alice', 'alice', ['jobs:read'])),
      await follow(callerOf('bob', 'bob', ['sessions:read'])),
    ];
    const moved = log.move('alice');
    await eventually(() => mayRead.taken.length === 2);
    expect(mayRead.taken[1]).toMatchObject([{ cursor: moved, kind: 'session.changed', status: 'busy' }]);
    for (const { taken } of others) expect(taken).toHaveLength(1);
  });

  it('resumes after each cursor without a gap or a duplicate, also while changes come', async () => {
    const { log, follow } = feedBench();
    const cursors = Array.from({ length: 2500 }, () => log.add('alice'));
    const places = ['0', ...[0, 1, 999, 1000, 1700, 2498, 2499].map((at) => cursors[at] ?? '')];
    const early = await follow(ADMIN_PRINCIPAL); // the others share its live end
    const readers = await Promise.all(places.map((after) => follow(ADMIN_PRINCIPAL, { after })));
    for (let more = 0; more < 5; more += 1) cursors.push(log.add('alice'));
    for (const [at, reader] of readers.entries()) {
      const after = places[at] ?? '';
      const expected = [after === '0' ? '0-0' : after, ...cursors.slice(cursors.indexOf(after) + 1)];
      await eventually(() => reader.cursors().length >= expected.length);
      expect(reader.cursors()).toEqual(expected);
    }
    expect(early.cursors()).toEqual(cursors.slice(2499));
  });

  it('gets the changes of its own jobs only, unless it is an admin', async () => {
    const { log, follow } = feedBench();
    const [alice, admin] = [await follow(ALICE), await follow(ADMIN_PRINCIPAL)];
    log.add('bob');
    const own = log.add('alice');
    log.addForeign();
    await eventually(() => alice.taken.length === 2 && admin.cursors().length === 3);
    expect(alice.cursors()).toEqual(['0-0', own]);
  });

  it('asks for some states or for a batch', async () => {
    const { log, follow } = feedBench();
    const failed = await follow(ADMIN_PRINCIPAL, { status: ['failed', 'running'] });
    const batch = await follow(ADMIN_PRINCIPAL, { batch: 'B' });
    const inBatch = log.add('alice', { batchId: 'B' });
    const running = log.add('alice', { status: 'running' });
    await eventually(() => failed.taken.length === 2 && batch.taken.length === 2);
    expect([failed.cursors(), batch.cursors()]).toEqual([
      ['0-0', running],
      ['0-0', inBatch],
    ]);
  });

  it('that may see none of the changes gets a newer cursor', async () => {
    const { log, follow } = feedBench({ cursorEveryMs: 0 });
    const reader = await follow(ALICE);
    const cursor = log.add('bob');
    await eventually(() => reader.taken.length === 2);
    expect(reader.taken[1]).toEqual([{ cursor, kind: 'cursor', at: expect.any(String) }]);
  });

  it('that takes nothing during 25,000 changes is cut, and resumes', async () => {
    const { log, feed, leaving, follow } = feedBench();
    const quick = await follow(ADMIN_PRINCIPAL);
    const slow = feed.read(ADMIN_PRINCIPAL, ALL, leaving.signal)[Symbol.asyncIterator]();
    await slow.next();
    const waiting = slow.next();
    const first = log.add('alice');
    expect((await waiting).value).toMatchObject([{ cursor: first }]);
    const missed: string[] = [];
    while (missed.length < 25_000) {
      for (let one = 0; one < 500; one += 1) missed.push(log.add('alice'));
      await eventually(() => quick.cursors().at(-1) === missed.at(-1));
    }
    await expect(slow.next()).rejects.toMatchObject({ code: 'request.timeout' });
    const resumed = await follow(ADMIN_PRINCIPAL, { after: first });
    await eventually(() => resumed.cursors().at(-1) === missed.at(-1));
    expect(resumed.cursors()).toEqual([first, ...missed]);
  });

  it('leaves nothing behind when it leaves', async () => {
    const { log, leaving, follow } = feedBench();
    const readers = [await follow(ALICE), await follow(ADMIN_PRINCIPAL)];
    expect(log.doorbells.listeners(LOG_CHANNEL)).toBe(1);
    leaving.abort();
    await Promise.all(readers.map(({ ended }) => ended));
    await eventually(() => log.doorbells.listeners(LOG_CHANNEL) === 0);
  });
});

describe('200 readers', () => {
  it('cost one read of the log for a change', async () => {
    const { log, follow } = feedBench();
    const readers = await Promise.all(Array.from({ length: 200 }, () => follow(ADMIN_PRINCIPAL)));
    const before = log.reads;
    const cursor = log.add('alice');
    await eventually(() => readers.every(({ cursors }) => cursors().at(-1) === cursor));
    expect(log.reads - before).toBeLessThan(5); // a poll may come in between
  });
});

describe('changes that are lost', () => {
  it('are an error for the cursor before them', async () => {
    const { log, follow } = feedBench();
    const after = log.add('alice');
    log.trim();
    log.add('alice');
    await expect(follow(ADMIN_PRINCIPAL, { after })).rejects.toMatchObject({ code: 'events.expired' });
  });

  it('with the data of Redis are an error for the readers of then, not for later ones', async () => {
    const { log, follow } = feedBench({ keepMs: 0 }); // every entry is old enough to be trimmed
    log.add('alice');
    const reader = await follow(ADMIN_PRINCIPAL);
    log.lose();
    await expect(reader.ended).rejects.toMatchObject({ code: 'events.expired' });
    const later = await follow(ADMIN_PRINCIPAL);
    const cursor = log.add('alice');
    await eventually(() => later.taken.length === 2);
    expect(later.cursors()).toEqual(['0-0', cursor]);
  });

  it('because Redis went back to an older state are an error', async () => {
    const { log, follow } = feedBench(); // no entry is old enough to be trimmed
    log.add('alice');
    const reader = await follow(ADMIN_PRINCIPAL);
    log.trim();
    log.add('alice');
    await expect(reader.ended).rejects.toMatchObject({ code: 'events.expired' });
  });

  it('only by their age are none for a reader who had them all', async () => {
    const { log, follow } = feedBench({ keepMs: 0 });
    log.add('alice');
    const reader = await follow(ADMIN_PRINCIPAL);
    log.trim();
    const cursor = log.add('alice');
    await eventually(() => reader.taken.length === 2);
    expect(reader.cursors().at(-1)).toBe(cursor);
  });
});
