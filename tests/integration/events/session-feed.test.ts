import { pino } from 'pino';
import { ulid } from 'ulid';
import { expect, it, onTestFinished } from 'vitest';
import { createSessionFeed } from '../../../src/events/session-feed.ts';
import { createReviveSession } from '../../../src/jobs/session-placement.ts';
import type { SessionStoredEvent } from '../../../src/protocol/event.ts';
import { createEventSource, toJobCopy } from '../../../src/store/copy-source.ts';
import { readSessions } from '../../../src/store/session-source.ts';
import { begun, CREATED_AT, finishOf, newJob, text } from '../../contracts/records/samples.ts';
import { eventually } from '../../helpers/eventually.ts';
import { useTestRecords } from '../../helpers/redis-records.ts';
import { aJob } from '../../unit/client/job.ts';
import { testStore } from '../store/test-store.ts';

const server = useTestRecords();
const BY = { id: 'alice', address: null, requestId: null };

async function setUp() {
  const rpc = server.make();
  const store = await testStore();
  const feed = createSessionFeed({
    ...{ sessions: rpc.sessions, records: rpc.records, store, doorbells: rpc.doorbells },
    ...{ liveSession: rpc.liveSession, liveChannel: rpc.liveChannel },
    readJob: async (id) => aJob({ id }),
    snapshot: () => Promise.reject(new Error('a chat has no screen')),
    logger: pino({ enabled: false }),
  });
  const { prefix } = rpc;

  /** Makes a job of the session that says a text, and ends. */
  async function turn(sessionId: string, said: string, job = newJob({ sessionId })): Promise<string> {
    await rpc.records.create(job);
    const [claim] = await rpc.claim('n1', 1);
    if (claim === undefined) throw new Error('the job could not be claimed');
    const claims = rpc.claimsOf('n1');
    await claims.append(claim.jobId, claim.executionId, 0, [begun(sessionId), text(said)]);
    await claims.finish(finishOf(claim, { from: 2 }));
    return claim.jobId;
  }

  /** Follows a session from a number on, until the test ends. */
  function follow(id: string, after = 0) {
    const events: SessionStoredEvent[] = [];
    const leaving = new AbortController();
    const ended = (async () => {
      for await (const batch of feed.read(id, after, leaving.signal)) events.push(...batch);
    })();
    onTestFinished(async () => {
      leaving.abort();
      await ended;
    });
    return {
      events,
      seqs: () => events.map(({ seq }) => seq),
      said: () => events.flatMap((event) => (event.kind === 'text' ? [event.text] : [])),
    };
  }

  async function made(): Promise<string> {
    const id = ulid();
    await rpc.sessions.create({
      ...{ id, kind: 'chat', name: null, status: 'ready', project: 'default', principal: 'alice' },
      ...{ options: { provider: 'claude', cwd: '/' }, fork: null, node: null, tags: [], metadata: {} },
      ...{ createdAt: CREATED_AT, by: BY },
    });
    return id;
  }

  /** Copies a session and its jobs, as the copier does. */
  async function copy(id: string, jobs: readonly string[]): Promise<void> {
    const { found } = await rpc.records.readMany(jobs);
    const source = createEventSource(
      server.redis,
      (jobId) => `${prefix}:events:${jobId}`,
      () => undefined,
    );
    const events = await source.read(found, async () => undefined);
    await store.run('copies.apply', {
      ...{ jobs: found.map((job) => toJobCopy(job, Date.now())), events, removed: [], cursor: null },
      sessions: await readSessions(rpc.sessions, [id], store),
    });
  }
  const forget = (jobs: readonly string[]) =>
    server.redis.del(...jobs.flatMap((id) => [`${prefix}:job:${id}`, `${prefix}:events:${id}`]));
  return { rpc, store, turn, follow, made, copy, forget };
}

const upTo = (last: number): readonly number[] => Array.from({ length: last }, (_, index) => index + 1);

it('a reader gets the stored events and the new ones of all turns, in order and without a gap', async () => {
  const { rpc, turn, follow, made } = await setUp();
  const id = await made();
  const first = await turn(id, 'a');
  const reader = follow(id);
  await eventually(() => reader.said().length === 1);
  const second = await turn(id, 'b');
  const { lastSeq } = (await rpc.sessions.read(id)) ?? { lastSeq: 0 };
  await eventually(() => reader.events.at(-1)?.seq === lastSeq);
  expect(reader.seqs()).toEqual(upTo(lastSeq));
  expect(reader.said()).toEqual(['a', 'b']);
  expect(reader.events.filter(({ kind }) => kind === 'job.finished')).toMatchObject([
    { jobId: first, sessionId: id, job: { id: first } },
    { jobId: second, sessionId: id, job: { id: second } },
  ]);
  const later = follow(id, lastSeq - 3);
  await eventually(() => later.events.length === 3);
  expect(later.events).toEqual(reader.events.slice(-3));
});

it('a reader of a single job goes on without a gap when the session gets its second turn', async () => {
  const { rpc, turn, follow } = await setUp();
  const job = newJob();
  const reader = follow(job.id);
  await turn(job.id, 'a', job);
  await eventually(() => reader.events.at(-1)?.kind === 'job.finished');
  const alone = reader.events.length;
  await turn(job.id, 'b');
  const { lastSeq } = (await rpc.sessions.read(job.id)) ?? { lastSeq: 0 };
  await eventually(() => reader.events.at(-1)?.seq === lastSeq);
  expect(reader.seqs()).toEqual(upTo(lastSeq));
  expect(reader.said()).toEqual(['a', 'b']);
  const again = follow(job.id);
  await eventually(() => again.events.length === lastSeq);
  expect(again.events).toEqual(reader.events);
  expect(alone).toBeGreaterThan(0);
});

it('what Redis no longer has of a session comes from the copies, under the same numbers', async () => {
  const { rpc, turn, follow, made, copy, forget } = await setUp();
  const id = await made();
  const jobs = [await turn(id, 'a'), await turn(id, 'b')];
  await copy(id, jobs);
  const before = follow(id);
  const { lastSeq } = (await rpc.sessions.read(id)) ?? { lastSeq: 0 };
  await eventually(() => before.events.length === lastSeq);
  await forget(jobs);
  const ofJobs = follow(id);
  await eventually(() => ofJobs.events.length === lastSeq);
  expect(ofJobs.events).toEqual(before.events);
  await rpc.loseSession(id);
  const all = follow(id, 2);
  await eventually(() => all.events.length === lastSeq - 2);
  expect(all.events).toEqual(before.events.slice(2));
});

it('events of a job that was deleted are left out', async () => {
  const { rpc, turn, follow, made } = await setUp();
  const id = await made();
  const first = await turn(id, 'a');
  await turn(id, 'b');
  await rpc.records.remove(first);
  const reader = follow(id);
  const { lastSeq } = (await rpc.sessions.read(id)) ?? { lastSeq: 0 };
  await eventually(() => reader.events.at(-1)?.seq === lastSeq);
  expect(reader.said()).toEqual(['b']);
  expect(reader.seqs()).toEqual([...reader.seqs()].sort((a, b) => a - b));
});

it('a session whose first job Redis has forgotten goes on with its turns and numbers', async () => {
  const { rpc, store, turn, follow, copy, forget } = await setUp();
  const revive = createReviveSession(store, rpc.records, rpc.sessions);
  const job = newJob();
  await turn(job.id, 'a', job);
  await copy(job.id, [job.id]);
  await revive(job.id);
  expect(await rpc.sessions.read(job.id)).toBeNull(); // Redis has the job: no record is needed
  const before = follow(job.id);
  await eventually(() => before.events.at(-1)?.kind === 'job.finished');
  const alone = [...before.events];

  await forget([job.id]);
  await revive(job.id);
  expect(await rpc.sessions.read(job.id)).toMatchObject({
    ...{ turns: 1, explicit: false, lastSeq: alone.length, nativeSessionId: 'native-1', node: 'n1' },
  });
  await turn(job.id, 'b');
  expect(await rpc.sessions.read(job.id)).toMatchObject({ turns: 2, status: 'ready' });
  const after = follow(job.id);
  await eventually(() => after.said().length === 2 && after.events.at(-1)?.kind === 'session.status');
  expect(after.events.slice(0, alone.length)).toEqual(alone);
  expect(after.seqs()).toEqual(upTo(after.events.length));
  await revive(ulid());
});
