import { join } from 'node:path';
import { pino } from 'pino';
import { ulid } from 'ulid';
import { expect, it, onTestFinished } from 'vitest';
import { eventsOf, tokensOf, verdictOf } from '../../../src/executor/bounded.ts';
import type { StoredEvent } from '../../../src/protocol/event.ts';
import type { JobQuery } from '../../../src/protocol/job.ts';
import { createApprovalRecords } from '../../../src/records/approval-records.ts';
import { createBatchRecords } from '../../../src/records/batch-records.ts';
import { createClaims } from '../../../src/records/claims.ts';
import { createJobRecords } from '../../../src/records/job-records.ts';
import type { TimedEvent } from '../../../src/records/ports.ts';
import { createScriptRunner } from '../../../src/records/script-runner.ts';
import { createSessionRecords } from '../../../src/records/session-records.ts';
import { createSubmissions } from '../../../src/records/submissions.ts';
import { closeConnection, untilReady } from '../../../src/redis/connection.ts';
import { createNames } from '../../../src/redis/names.ts';
import { createCopier } from '../../../src/store/copier.ts';
import { createLedger } from '../../../src/store/ledger.ts';
import { openStore, type Store } from '../../../src/store/store.ts';
import { askOf } from '../../contracts/records/approving.ts';
import { CANCELLED, failed, finishOf, newJob, succeeded, text } from '../../contracts/records/samples.ts';
import { hostileRuns } from '../../fakes/hostile-runs.ts';
import { eventually } from '../../helpers/eventually.ts';
import { useTestRecords } from '../../helpers/redis-records.ts';
import { tempDir } from '../../helpers/temp.ts';
import { aQuery } from './test-store.ts';

const logger = pino({ enabled: false });
const LEASE_MS = 60_000;

const ignore = (): void => undefined;

const server = useTestRecords();

/** Records of their own, and copiers of them that do not follow by themselves. */
async function setUp() {
  const redis = server.redis.duplicate();
  onTestFinished(() => closeConnection(redis));
  await untilReady(redis, 20_000);
  const names = createNames({ prefix: ulid(), requestChannel: 'requests', responseChannel: 'responses' });
  const settings = { requestChannel: 'requests', responseChannel: 'responses', keepFinishedMs: 600_000 };
  const scripts = createScriptRunner(redis, names.prefix, settings);
  const records = createJobRecords(redis, names, scripts, ignore, null);
  const sessions = createSessionRecords(redis, names, scripts, records, ignore, null);
  const approvals = createApprovalRecords(redis, names, scripts, ignore, null);
  const submissions = createSubmissions(scripts);
  const claims = createClaims(scripts, 'n1', { leaseMs: LEASE_MS, leaderMs: LEASE_MS }, null, ignore, null);

  /** Ids of the records that copiers have read. */
  const reads: string[] = [];
  /** Ids of the jobs whose end was reported. */
  const ended: string[] = [];
  /** How often copiers found that the log does not go on where they are. */
  const breaks = { replaced: 0, missed: 0 };
  /** Ids of jobs in the log that had no record. */
  const gone: string[] = [];

  /** Has a job delivered and claimed. */
  async function claimJob(id: string, executionId: string) {
    for (let tries = 0; tries < 2; tries += 1) {
      await submissions.submit(id, executionId); // the first time it may only become due
      const [claim] = (await claims.claim(1)).claims;
      if (claim !== undefined) return claim;
    }
    return undefined;
  }
  return {
    records,
    sessions,
    approvals,
    forgeSession: (id: string, field: string, value: string) => redis.hset(names.session(id), field, value),
    submissions,
    claims,
    reads,
    ended,
    breaks,
    gone,
    redis,
    log: names.log,
    async newStore(): Promise<Store> {
      const store = await openStore({ file: join(tempDir(), 'ledger.db'), logger });
      onTestFinished(() => store.close());
      return store;
    },
    /** Removes the record of a job, as its time in Redis does. */
    forget: (id: string) => redis.del(names.job(id), names.events(id)),
    copierOf: (store: Store) =>
      createCopier({
        blocking: redis.duplicate(),
        redis,
        log: names.log,
        records: {
          readMany(ids) {
            reads.push(...ids);
            return records.readMany(ids);
          },
        },
        batchRecords: createBatchRecords(scripts, ignore, null),
        sessionRecords: sessions,
        approvals,
        eventsKey: names.events,
        async onLogReplaced() {
          breaks.replaced += 1;
        },
        async onChangesMissed() {
          breaks.missed += 1;
        },
        onRecordsGone: async (ids) => void gone.push(...ids),
        onEnded: ({ id }) => void ended.push(id),
        onAudited: async () => undefined,
        store,
        report: ignore,
        logger,
      }),
    claimJob,
    /** A job that has run twice and has these events in its last attempt. */
    async finished(events: readonly TimedEvent[]): Promise<string> {
      const job = newJob({ maxAttempts: 2 });
      await records.create(job);
      for (const attempt of [1, 2]) {
        const claim = await claimJob(job.id, `e${attempt}-${job.id}`);
        if (claim === undefined) throw new Error('nothing could be claimed');
        const error = failed(claim.executionId, 'execution.lost');
        if (attempt === 1) await claims.finish(finishOf(claim, { outcome: error }));
        else {
          await claims.append(claim.jobId, claim.executionId, 0, events);
          await claims.finish(finishOf(claim, { from: events.length }));
        }
      }
      return job.id;
    },
  };
}

/** Applies this many steps and refuses the next. */
function storeThatStops(store: Store, steps: number): Store {
  let left = steps;
  return {
    ...store,
    run(op, args) {
      if (op === 'copies.apply') left -= 1;
      return left < 0 ? Promise.reject(new Error('the store stops')) : store.run(op, args);
    },
  };
}

async function copied(store: Store, jobId: string): Promise<StoredEvent[]> {
  return store.run('events.read', { jobId, after: 0, limit: 10_000 });
}

const range = (length: number): number[] => Array.from({ length }, (_, index) => index);

it('keeps every event of finished jobs as it was, of small ones and of those with many', async () => {
  const bench = await setUp();
  const odd: TimedEvent[] = [
    { event: { kind: 'text', text: 'a "quoted"\n\u0000 ☃' }, raw: '{"line": 1}', at: 1_790_000_000_000 },
    { event: { text: 'its kind comes last', kind: 'text' }, raw: 'e', at: 1_790_000_000_001 },
    { event: { kind: 'raw', line: '{"kind":"other"}' }, raw: null, at: 1_790_000_000_002 },
  ];
  const many = range(2_300).map((n) => text(`${n}`));
  const ids: string[] = [];
  for (const events of [odd, many, [], range(600).map((n) => text(`${n}`)), odd])
    ids.push(await bench.finished(events));

  const store = await bench.newStore();
  const copier = bench.copierOf(store);
  await copier.start();
  await copier.catchUp();
  await copier.stop();

  for (const id of ids) {
    const expected = await bench.records.events(id, 0, 10_000);
    expect(expected.map(({ kind }) => kind)).toContain('job.scheduled');
    expect(await copied(store, id)).toEqual(expected);
  }
  const usage = await store.run('usage.report', { project: null, by: 'caller', from: null, to: null });
  expect(usage).toMatchObject([{ executions: 2 * ids.length }]);
});

it('keeps what is left of the events and outcomes of CLIs that say anything', async () => {
  const bench = await setUp();
  const store = await bench.newStore();
  const ledger = createLedger(store, 'boot');
  const ids: string[] = [];
  for (const { provider, request, lines } of hostileRuns(20_260_302, 6)) {
    const translator = provider.translator(request);
    const events = lines.flatMap((line) =>
      eventsOf(() => translator.line(line), line, 100_000).map((event) => ({ event, raw: line, at: 1e12 })),
    );
    const { verdict } = verdictOf(() => translator.end({ code: 0, signal: null }, ''));
    const { byModel: _, sessionTokens } = tokensOf(translator.progress);
    const job = newJob(request);
    await bench.records.create(job);
    const claim = await bench.claimJob(job.id, `e-${job.id}`);
    if (claim === undefined) throw new Error('nothing could be claimed');
    const outcome = {
      ...succeeded(claim.executionId),
      ...verdict,
      permissionDenials: [...verdict.permissionDenials],
    };
    const finish = finishOf(claim, { outcome, from: 1, tail: events.slice(1), reported: null });
    await ledger.intend(claim);
    await bench.claims.append(claim.jobId, claim.executionId, 0, events.slice(0, 1));
    await ledger.ended(finish, sessionTokens);
    expect((await ledger.find(claim))?.finish).toEqual(JSON.parse(JSON.stringify(finish)));
    await bench.claims.finish(finish);
    ids.push(job.id);
  }
  const copier = bench.copierOf(store);
  await copier.start();
  await copier.catchUp();
  await copier.stop();

  for (const id of ids) {
    const [record, kept] = [await bench.records.read(id), await store.run('jobs.get', { id })];
    expect(record?.outcome).not.toBeNull();
    expect(kept?.outcome).toEqual(record?.outcome);
    expect(await copied(store, id)).toEqual(await bench.records.events(id, 0, 10_000));
  }
  const usage = await store.run('usage.report', { project: null, by: 'model', from: null, to: null });
  expect(usage.reduce((sum, { executions }) => sum + executions, 0)).toBe(ids.length);
});

it('brings many finished jobs, their events and its position to the disk with one commit', async () => {
  const bench = await setUp();
  const store = await bench.newStore();
  const copier = bench.copierOf(store);
  await copier.start();
  const ids = await Promise.all(
    range(10).map(async () => {
      const job = newJob();
      await bench.records.create(job);
      return job.id;
    }),
  );
  await copier.catchUp();
  const before = store.stats().commits;
  for (const id of ids) await bench.records.cancel(id, false, failed(null, 'execution.cancelled'));
  await copier.catchUp();
  await copier.stop();

  expect(store.stats().commits - before).toBeLessThanOrEqual(2); // the follower may have come between
  for (const id of ids) {
    expect(await store.run('jobs.get', { id })).toMatchObject({ status: 'cancelled' });
    expect((await copied(store, id)).map(({ kind }) => kind)).toEqual(['job.queued', 'job.finished']);
  }
});

it('copies a long backlog in steps and loses nothing of it when it is stopped between them', async () => {
  const bench = await setUp();
  const jobs = range(130).map(() => newJob());
  await Promise.all(jobs.map((job) => bench.records.create(job)));
  const [first, second, ...others] = jobs.map(({ id }) => id);
  if (first === undefined || second === undefined) throw new Error('there are no jobs');
  for (const id of [first, second])
    await bench.records.cancel(id, false, failed(null, 'execution.cancelled'));
  await bench.records.remove(first);

  const store = await bench.newStore();
  const interrupted = bench.copierOf(storeThatStops(store, 3));
  await interrupted.start();
  await expect(interrupted.catchUp()).rejects.toThrow();
  await interrupted.stop();
  const counted = async () => (await store.run('jobs.counts', {})).byStatus['queued'] ?? 0;
  const some = await counted();
  expect(some).toBeGreaterThan(0);
  expect(some).toBeLessThan(others.length);
  expect(await store.run('cursors.get', { name: 'log' })).toBeNull();

  const copier = bench.copierOf(store);
  await copier.start();
  await copier.catchUp();
  await copier.stop();
  expect(await counted()).toBe(others.length);
  expect(await store.run('jobs.get', { id: first })).toBeNull();
  expect(await store.run('jobs.get', { id: second })).toMatchObject({ status: 'cancelled' });
});

it('brings changes of an ended job to every node, also when Redis no longer has the job', async () => {
  const bench = await setUp();
  const stores = [await bench.newStore(), await bench.newStore()];
  const copiers = stores.map(bench.copierOf);
  for (const copier of copiers) await copier.start();
  const id = await bench.finished([text('a')]);
  const catchUp = () => Promise.all(copiers.map((copier) => copier.catchUp()));
  /** The job on each node, and the ids that two filters find there. */
  const seen = async () => {
    await catchUp();
    const list = async (store: Store, query: Partial<JobQuery>) =>
      (await store.run('jobs.list', { project: null, query: aQuery(query) })).rows.map((row) => row.id);
    return Promise.all(
      stores.map(async (store) => {
        const copy = await store.run('jobs.get', { id });
        const { tags, metadata } = copy?.request ?? expect.unreachable();
        const { archived, status } = copy ?? expect.unreachable();
        const [byTag, active] = [await list(store, { tag: ['t'] }), await list(store, { archived: false })];
        return { tags, metadata, archived, status, byTag, active };
      }),
    );
  };
  const twice = <T>(one: T): T[] => [one, one];
  await catchUp();
  await bench.records.change(id, { tags: ['t'], archived: true });
  const first = { tags: ['t'], metadata: {}, archived: true, status: 'succeeded', byTag: [id], active: [] };
  expect(await seen()).toEqual(twice(first));

  await bench.forget(id);
  expect(await bench.records.change(id, { tags: ['u'], metadata: { k: 'v' } })).toBe('gone');
  const second = { ...first, tags: ['u'], metadata: { k: 'v' }, byTag: [] };
  expect(await seen()).toEqual(twice(second));
  for (const archived of [false, true, false]) await bench.records.change(id, { archived });
  expect(await seen()).toEqual(twice({ ...second, archived: false, active: [id] }));

  expect(await bench.records.change(newJob().id, { tags: ['of no job'] })).toBe('gone');
  await catchUp();
  expect(bench.ended).toEqual([id, id]); // once on each node
  for (const store of stores) {
    const usage = await store.run('usage.report', { project: null, by: 'tag', from: null, to: null });
    expect(usage).toMatchObject([{ key: null, executions: 2 }]); // the tags at its end
    expect(await copied(store, id)).not.toEqual([]);
  }
  for (const copier of copiers) await copier.stop();
});

/** A copier that has copied some jobs, and a function that adds one and returns its id. */
async function withCopies() {
  const bench = await setUp();
  const store = await bench.newStore();
  const copier = bench.copierOf(store);
  await copier.start();
  const add = async (): Promise<string> => {
    const job = newJob();
    await bench.records.create(job);
    return job.id;
  };
  const ids = [await add(), await add()];
  await copier.catchUp();
  expect(await store.run('jobs.get', { id: ids[1] ?? '' })).not.toBeNull();
  return { ...bench, store, copier, add };
}

it('notices that the newest changes are lost, also behind later ones', async () => {
  const { redis, log, breaks, store, copier, add } = await withCopies();
  const [newest] = await redis.xrevrange(log, '+', '-', 'COUNT', 1);
  await redis.xdel(log, newest?.[0] ?? '');
  const id = await add();
  await copier.catchUp();
  expect(breaks).toEqual({ replaced: 1, missed: 0 });
  expect(await store.run('jobs.get', { id })).not.toBeNull();
  await copier.stop();
});

it('notices at its start that the log was trimmed behind its position, and goes on', async () => {
  const { redis, log, breaks, store, copier, copierOf, add } = await withCopies();
  await copier.stop();
  const [, last = ''] = [await add(), await add()];
  await redis.xtrim(log, 'MAXLEN', 1);
  const later = copierOf(store);
  await later.start();
  expect(breaks).toEqual({ replaced: 0, missed: 1 });
  await later.catchUp();
  expect(breaks).toEqual({ replaced: 0, missed: 1 });
  expect(await store.run('jobs.get', { id: last })).not.toBeNull();
  await later.stop();
});

it('names the jobs of the log that Redis has forgotten, and none that was deleted', async () => {
  const { store, copier, copierOf, add, records, forget, gone } = await withCopies();
  await copier.stop();
  const [forgotten, deleted] = [await add(), await add()];
  await records.cancel(deleted, false, failed(null, 'execution.cancelled'));
  await records.remove(deleted);
  await forget(forgotten);
  const later = copierOf(store);
  await later.start();
  await later.catchUp();
  expect(gone).toEqual([forgotten]);
  await later.stop();
});

it('takes a log with another id for lost data, also when it has new entries', async () => {
  const { redis, log, breaks, store, copier, add } = await withCopies();
  await redis.del(log, `${log}:id`);
  const id = await add();
  await copier.catchUp();
  expect(breaks).toEqual({ replaced: 1, missed: 0 });
  expect(await store.run('jobs.get', { id })).not.toBeNull();
  await copier.stop();
});

it('reads a job that changed several times close together once', async () => {
  const bench = await setUp();
  const job = newJob();
  await bench.records.create(job);
  await bench.records.cancel(job.id, false, failed(null, 'execution.cancelled'));
  const store = await bench.newStore();
  const copier = bench.copierOf(store);
  await copier.start();
  await copier.catchUp();
  await copier.stop();
  expect(bench.reads).toEqual([job.id]);
  expect(bench.ended).toEqual([job.id]);
});

it('is settled when the copy under way has been made, and not before', async () => {
  const bench = await setUp();
  const store = await bench.newStore();
  const go = Promise.withResolvers<void>();
  let held = false;
  const copier = bench.copierOf({
    ...store,
    async run(op, args) {
      if (held && op === 'copies.apply') await go.promise;
      return store.run(op, args);
    },
  });
  await copier.start();
  held = true;
  const job = newJob();
  await bench.records.create(job);
  const copying = copier.catchUp();
  await eventually(() => bench.reads.includes(job.id));
  const settled = copier.settled();
  expect(await store.run('jobs.get', { id: job.id })).toBeNull();
  go.resolve();
  await settled;
  expect(await store.run('jobs.get', { id: job.id })).not.toBeNull();
  await copying;
  await copier.stop();
});

it('keeps sessions with their streams, and approvals, as they change; deleted sessions go', async () => {
  const bench = await setUp();
  const store = await bench.newStore();
  const copier = bench.copierOf(store);
  await copier.start();
  const id = ulid();
  const by = { id: 'alice', address: null, requestId: null };
  await bench.sessions.create({
    ...{ id, kind: 'chat', name: 'a chat', status: 'ready', project: 'default', principal: 'alice' },
    ...{ options: { provider: 'claude', cwd: '/' }, fork: null, node: null, tags: ['t'], metadata: {} },
    ...{ createdAt: 1_790_000_000_000, by },
  });
  await copier.catchUp();
  expect(await store.run('sessions.get', { id })).toMatchObject({
    name: 'a chat',
    status: 'ready',
    turns: 0,
  });

  const job = newJob({ sessionId: id });
  await bench.records.create(job);
  const claim = await bench.claimJob(job.id, 'e1');
  if (claim === undefined) throw new Error('nothing could be claimed');
  await bench.claims.append(job.id, 'e1', 0, [text('a')]);
  const opened = { id: ulid(), ask: askOf('c'), expiresAt: Date.now() + 60_000 };
  await bench.approvals.open(claim, opened);
  await copier.catchUp();
  expect(await store.run('sessions.get', { id })).toMatchObject({ status: 'awaiting_input', turns: 1 });
  expect(await store.run('approvals.get', { id: opened.id })).toMatchObject({
    status: 'pending',
    jobId: job.id,
  });

  await bench.claims.finish(finishOf(claim, { from: 1 }));
  await copier.catchUp();
  expect(await store.run('sessions.get', { id })).toMatchObject({ status: 'ready', turns: 1 });
  expect(await store.run('approvals.get', { id: opened.id })).toMatchObject({ status: 'cancelled' });
  const copy = await store.run('sessions.copy', { id });
  expect(copy?.record).toEqual(await bench.sessions.read(id));
  expect(copy?.entries).toEqual(await bench.sessions.entries(id, 0, 100));

  await bench.sessions.remove(id, { actor: by, project: 'default' });
  await copier.catchUp();
  expect(await store.run('sessions.entries', { id, after: 0, limit: 9 })).toMatchObject([
    { jobId: job.id, from: 1 },
  ]);
  expect(await store.run('sessions.ids', { after: '', limit: 9 })).toEqual([]);
  await copier.stop();
});

it('names the sessions that were closed or deleted, once more when a turn ends after the close', async () => {
  const bench = await setUp();
  const store = await bench.newStore();
  const copier = bench.copierOf(store);
  const named: string[] = [];
  copier.onSessionsEnded((ids) => void named.push(...ids));
  await copier.start();
  const by = { actor: { id: 'alice', address: null, requestId: null }, project: 'default' };
  const jobs = [newJob(), newJob()];
  for (const job of jobs) await bench.records.create(job);
  const [closed, deleted] = jobs.map(({ id }) => id) as [string, string]; // there are two
  const claim = await bench.claimJob(closed, 'e1');
  if (claim === undefined) throw new Error('nothing could be claimed');
  await copier.catchUp();
  expect(named).toEqual([]);

  expect(await bench.sessions.close(closed, by)).toMatchObject({ open: [closed] });
  await copier.catchUp();
  expect(named).toEqual([closed]);
  await bench.claims.finish(finishOf(claim, { from: 0 }));
  await copier.catchUp();
  expect(named).toEqual([closed, closed]);

  await bench.records.cancel(deleted, false, CANCELLED);
  await bench.sessions.remove(deleted, by);
  await copier.catchUp();
  expect(named).toEqual([closed, closed, deleted]);
  await copier.stop();
});

it('names a closed session also while its copies cannot be stored', async () => {
  const bench = await setUp();
  const job = newJob();
  await bench.records.create(job);
  const by = { actor: { id: 'alice', address: null, requestId: null }, project: 'default' };
  await bench.sessions.close(job.id, by);
  const copier = bench.copierOf(storeThatStops(await bench.newStore(), 1));
  const named: string[] = [];
  copier.onSessionsEnded((ids) => void named.push(...ids));
  await copier.start(); // its one step: it stores the id of the log
  await expect(copier.catchUp()).rejects.toThrow('the store stops');
  expect(named).toEqual([job.id]);
  await copier.stop();
});

it('a session whose record cannot be read holds up no other copy', async () => {
  const bench = await setUp();
  const store = await bench.newStore();
  const copier = bench.copierOf(store);
  await copier.start();
  const [job, next] = [newJob(), newJob()];
  await bench.records.create(job);
  await bench.records.create(newJob({ sessionId: job.id }));
  await bench.forgeSession(job.id, 'options', '{');
  await bench.records.create(next);
  await copier.catchUp();
  expect(await store.run('jobs.get', { id: next.id })).not.toBeNull();
  expect(await store.run('sessions.get', { id: job.id })).toMatchObject({ turns: 2, explicit: false });
  await copier.stop();
});
