import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { openFeeds } from '../../../src/events/open-feeds.ts';
import type { StoredEvent } from '../../../src/protocol/event.ts';
import type { Job } from '../../../src/protocol/job.ts';
import type { JobRecords } from '../../../src/records/ports.ts';
import { finishOf, newJob, text } from '../../contracts/records/samples.ts';
import { eventually } from '../../helpers/eventually.ts';
import { useTestRecords } from '../../helpers/redis-records.ts';
import { aJob } from '../../unit/client/job.ts';
import { createLatch } from '../executor/bench.ts';
import { testStore } from '../store/test-store.ts';

const READERS = 50;

const server = useTestRecords();

/** A hub over the records, with a count of what it read of them. */
async function hubBench() {
  const rpc = server.make();
  const reads = { events: 0, read: 0, job: 0, underWay: 0 };
  const counted = <T>(read: Promise<T>): Promise<T> => {
    reads.underWay += 1;
    return read.finally(() => {
      reads.underWay -= 1;
    });
  };
  const held: Partial<Record<'events' | 'read' | 'job', ReturnType<typeof createLatch>>> = {};
  let copy: Job | null = null;
  const records: Pick<JobRecords, 'events' | 'read'> = {
    events: async (...args) => {
      reads.events += 1;
      await held.events?.wait();
      return counted(rpc.records.events(...args));
    },
    read: async (id) => {
      reads.read += 1;
      await held.read?.wait();
      return counted(rpc.records.read(id));
    },
  };
  const { events: hub } = openFeeds({
    ...{ records, sessionRecords: rpc.sessions, changeLog: rpc.changeLog, store: await testStore() },
    doorbells: rpc.doorbells,
    names: { live: rpc.liveChannel, liveSession: rpc.liveSession, logDoorbell: rpc.logDoorbell },
    keepMs: Number.POSITIVE_INFINITY,
    async readJob(id) {
      reads.job += 1;
      await held.job?.wait();
      const found = (await rpc.records.read(id)) === null ? copy : aJob({ id });
      if (found === null) throw new AppError('job.not_found', 'the job was deleted');
      return found;
    },
    snapshot: () => Promise.reject(new Error('a job has no screen')),
    findBatch: () => Promise.reject(new Error('there is no batch')),
    logger: pino({ enabled: false }),
  });
  const job = newJob();
  await rpc.records.create(job);
  await rpc.submissions.submit(job.id, 'E1');
  const claims = rpc.claimsOf('n1');
  const [claim] = await rpc.claim('n1', 1);
  if (claim === undefined) throw new Error('the job could not be claimed');
  let said = 0;
  return {
    hub,
    reads,
    id: job.id,
    /** The numbers of all events there are. */
    all: async () => (await rpc.records.events(job.id, 0, 1000)).map((event) => event.seq),
    async say(...texts: readonly string[]) {
      await claims.append(
        job.id,
        'E1',
        said,
        texts.map((value) => text(value)),
      );
      said += texts.length;
    },
    /** From now on a read of events, of a record or of the finished job waits for the latch. */
    hold(read: keyof typeof held): ReturnType<typeof createLatch> {
      const latch = createLatch();
      held[read] = latch;
      return latch;
    },
    finish: () => claims.finish(finishOf(claim, { from: said })),
    async remove() {
      expect(await rpc.records.remove(job.id)).toBe(true);
    },
    /** The same when Redis has lost the job, and this node's copy of it has not ended. */
    async lose() {
      copy = aJob({ id: job.id, finished: false });
      await this.remove();
    },
  };
}

/** Collects the batches of a reader as they come. */
function follow(batches: AsyncIterable<readonly StoredEvent[]>) {
  const taken: (readonly StoredEvent[])[] = [];
  const ended = (async () => {
    for await (const batch of batches) taken.push(batch);
  })();
  ended.catch(() => undefined); // looked at by the tests that expect it
  return { taken, ended, seqs: () => taken.flat().map(({ seq }) => seq) };
}

describe('readers of one job', () => {
  it('that join while others get the last event get it too', async () => {
    const bench = await hubBench();
    const { signal } = new AbortController();
    await bench.say('one');
    const [seq = 0] = (await bench.all()).slice(-1);
    const early = follow(bench.hub.read(bench.id, 0, signal)); // holds the live end
    await eventually(() => early.seqs().at(-1) === seq && bench.reads.read >= 3);
    const latch = bench.hold('read');
    const first = follow(bench.hub.read(bench.id, seq, signal));
    await latch.reached; // it has found nothing new, and looks at the record
    const before = bench.reads.events;
    await bench.finish();
    await eventually(() => bench.reads.events > before && (early.seqs().at(-1) ?? 0) > seq);
    const second = follow(bench.hub.read(bench.id, seq, signal));
    latch.release();
    await Promise.all([early.ended, first.ended, second.ended]);
    expect(second.seqs()).toEqual(first.seqs());
    expect(second.taken.flat().at(-1)?.kind).toBe('job.finished');
  });

  it('at the same place share one read of the stored events and one of each burst', async () => {
    const bench = await hubBench();
    const signal = new AbortController().signal;
    const latch = bench.hold('events');
    const readers = Array.from({ length: READERS }, () => follow(bench.hub.read(bench.id, 0, signal)));
    await latch.reached; // the first asks for the stored events
    await eventually(() => bench.reads.underWay === 0); // the others have joined the tail and ask too
    latch.release();
    await eventually(() => readers.every(({ taken }) => taken.length === 1) && bench.reads.underWay === 0);
    expect(new Set(readers.map(({ taken }) => taken[0])).size).toBe(1);
    const before = bench.reads.events;
    expect(before).toBeLessThan(READERS);

    await bench.say('a', 'b', 'c');
    await eventually(() => readers.every(({ seqs }) => seqs().length === 5));
    expect(new Set(readers.map(({ taken }) => taken.at(-1))).size).toBe(1);
    expect(bench.reads.events - before).toBeLessThan(READERS);

    await bench.finish();
    await Promise.all(readers.map(({ ended }) => ended));
    for (const { seqs } of readers) expect(seqs()).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(readers.map(({ taken }) => taken.at(-1)?.at(-1))).toEqual(
      Array(READERS).fill(expect.objectContaining({ kind: 'job.finished', job: aJob({ id: bench.id }) })),
    );
    expect(bench.reads.job).toBe(1);
  });

  it('at different places get the rest without a gap or a duplicate', async () => {
    const bench = await hubBench();
    await bench.say('a', 'b', 'c');
    const signal = new AbortController().signal;
    const readers = [0, 1, 2, 3, 4, 5].map((after) => follow(bench.hub.read(bench.id, after, signal)));
    await bench.say('d');
    await bench.finish();
    await Promise.all(readers.map(({ ended }) => ended));
    for (const [after, { seqs }] of readers.entries()) {
      expect(seqs()).toEqual([1, 2, 3, 4, 5, 6, 7, 8].slice(after));
    }
  });

  it('that take nothing during 25,000 events are cut, the others are not', async () => {
    const bench = await hubBench();
    const signal = new AbortController().signal;
    const slow = bench.hub.read(bench.id, 0, signal)[Symbol.asyncIterator]();
    await slow.next();
    const waiting = slow.next();
    await eventually(() => bench.reads.read > 0 && bench.reads.underWay === 0); // it is at the live end
    const quick = follow(bench.hub.read(bench.id, 2, signal));
    await bench.say('first');
    expect((await waiting).value).toHaveLength(1);
    const burst = Array.from({ length: 500 }, (_, index) => `t${index}`);
    for (let sent = 0; sent < 25_000; sent += burst.length) {
      await bench.say(...burst);
      await eventually(() => quick.seqs().length === 1 + sent + burst.length);
    }
    await expect(slow.next()).rejects.toMatchObject({ code: 'request.timeout' });
    await bench.finish();
    await quick.ended;
    expect(quick.seqs()).toEqual(Array.from({ length: 25_003 }, (_, index) => index + 3));
  });

  it('leave when they are asked to', async () => {
    const bench = await hubBench();
    const leaving = new AbortController();
    const reader = follow(bench.hub.read(bench.id, 0, leaving.signal));
    await eventually(() => reader.taken.length === 1);
    leaving.abort();
    await reader.ended;
    await bench.say('unheard');
    expect(reader.seqs()).toEqual([1, 2]);
  });

  it('that are busy with a batch get the events since then in one batch', async () => {
    const bench = await hubBench();
    const signal = new AbortController().signal;
    const busy = bench.hub.read(bench.id, 0, signal)[Symbol.asyncIterator]();
    await busy.next();
    const waiting = busy.next();
    const quick = follow(bench.hub.read(bench.id, 0, signal));
    await eventually(() => quick.seqs().length === 2 && bench.reads.read >= 3); // both are at the live end
    await bench.say('a');
    expect((await waiting).value?.map(({ seq }: StoredEvent) => seq)).toEqual([3]);
    await bench.say('b');
    await bench.say('c');
    await eventually(() => quick.seqs().length === 5);
    expect((await busy.next()).value?.map(({ seq }: StoredEvent) => seq)).toEqual([4, 5]);
    await busy.return?.();
    await bench.finish();
    await quick.ended;
  });
});

describe('readers of a job that is deleted', () => {
  it('get job.finished without the job, when they were about to get it', async () => {
    const bench = await hubBench();
    const reader = follow(bench.hub.read(bench.id, 0, new AbortController().signal));
    await eventually(() => reader.taken.length === 1);
    const latch = bench.hold('job');
    await bench.finish();
    await latch.reached;
    await bench.remove();
    latch.release();
    await reader.ended;
    expect(reader.taken.flat().at(-1)).toMatchObject({ kind: 'job.finished', job: null });
  });

  it('are cut when they are still at older events', async () => {
    const bench = await hubBench();
    await bench.say(...Array.from({ length: 1000 }, (_, index) => `t${index}`));
    const slow = bench.hub.read(bench.id, 0, new AbortController().signal)[Symbol.asyncIterator]();
    expect((await slow.next()).value).toHaveLength(1000);
    await bench.finish();
    await bench.remove();
    await expect(slow.next()).rejects.toMatchObject({ code: 'job.not_found' });
    await expect(
      follow(bench.hub.read(bench.id, 0, new AbortController().signal)).ended,
    ).rejects.toMatchObject({
      code: 'job.not_found',
    });
  });

  it.each([
    ['deleted', 'remove', 'job.not_found'],
    ['lost by Redis', 'lose', 'redis.unavailable'],
  ] as const)(
    'are cut at the live end, when it is %s before this node has read the last event',
    async (_, go, code) => {
      const bench = await hubBench();
      const reader = follow(bench.hub.read(bench.id, 0, new AbortController().signal));
      await eventually(
        () => reader.taken.length === 1 && bench.reads.read >= 2 && bench.reads.underWay === 0,
      );
      const latch = bench.hold('events');
      await bench.finish();
      await latch.reached;
      await bench[go]();
      latch.release();
      await expect(reader.ended).rejects.toMatchObject({ code });
      expect(reader.seqs()).toEqual([1, 2]);
    },
  );
});
