import { ulid } from 'ulid';
import { beforeEach, expect, it } from 'vitest';
import { AppError, wireError } from '../../../src/errors.ts';
import { createLogger } from '../../../src/logger.ts';
import type { Approval } from '../../../src/protocol/approval.ts';
import { createReconciler } from '../../../src/queue/reconcile.ts';
import type { JobRecord, NewJob } from '../../../src/records/ports.ts';
import type { SessionRecord } from '../../../src/records/session-ports.ts';
import type { SessionCopy } from '../../../src/store/session-copies.ts';
import type { Store } from '../../../src/store/store.ts';
import { aJob, anIntent, anOutcome, NO_DELIVERY, project, testStore } from '../store/test-store.ts';

const BOOT = 'this boot';
let store: Store;
const now = (): string => new Date().toISOString();

beforeEach(async () => {
  store = await testStore();
});

/** Reconciles with a Redis that has only these records, and damaged ones. */
async function reconcile(
  how: 'restoreLost' | 'endForgotten' | 'settleKnown',
  damaged: readonly string[] = [],
  revs: ReadonlyMap<string, number> = new Map(),
  ids?: readonly string[],
) {
  const created: NewJob[] = [];
  const sessions: SessionCopy[] = [];
  const done = Promise.withResolvers<void>();
  const reconciler = createReconciler({
    records: {
      async read(id): Promise<JobRecord | null> {
        if (damaged.includes(id)) throw new AppError('record.damaged', 'not JSON');
        const rev = revs.get(id);
        return rev === undefined ? null : ({ id, rev } as JobRecord); // as: the rest is not read
      },
      async create(job) {
        created.push(job);
        return { kind: 'created' };
      },
      change: async () => 'changed',
    },
    sessions: {
      async restore(record, entries) {
        sessions.push({ record, entries });
      },
    },
    upkeep: { migrate: async () => false },
    store,
    bootId: BOOT,
    restoreYoungerThanMs: 60_000,
    logger: createLogger('warn', { write: () => done.resolve() }),
  });
  if (how === 'endForgotten') await reconciler.endForgotten(ids);
  else await reconciler[how]();
  if (how === 'settleKnown') await done.promise;
  return { created, sessions };
}

/** The status of a job's copy; for a failed job the code of its error. */
async function statusOf(id: string): Promise<string | undefined> {
  const job = await store.run('jobs.get', { id });
  return job?.outcome?.error?.code ?? job?.status;
}

/** A running job with an execution of a boot. */
async function running(bootId: string) {
  const job = aJob({ createdAt: now(), status: 'running', attempts: 1 });
  await project(store, job);
  const executionId = `execution of ${job.id}`;
  await store.run('executions.intent', { ...anIntent(executionId, now()), jobId: job.id, bootId });
  const end = () =>
    store.run('executions.ended', {
      executionId,
      outcome: anOutcome({ executionId }),
      delivery: NO_DELIVERY,
      sessionTokens: null,
      at: now(),
    });
  return { id: job.id, end };
}

it('a job that never ran is created again under its id', async () => {
  const young = aJob({ createdAt: now() });
  await project(store, young);
  const { created } = await reconcile('restoreLost');
  expect(created.map(({ id, request }) => [id, request.prompt])).toEqual([[young.id, 'say hello']]);
});

it('a job that is made again keeps the time it was moved to, and does not begin its ttlMs anew', async () => {
  const at = (ms: number): string => new Date(Date.now() + ms).toISOString();
  const moved = aJob({
    ...{ createdAt: now(), status: 'scheduled', waitReason: 'delayed', scheduledFor: at(120_000) },
    request: { delayMs: 60_000, runAt: at(60_000) },
  });
  const due = aJob({ createdAt: at(-50_000), request: { ttlMs: 60_000 } });
  await project(store, moved, due);
  const event = { seq: 2, jobId: due.id, attempt: 0, at: at(-30_000), raw: null };
  await store.run('events.append', { jobId: due.id, events: [{ ...event, kind: 'job.queued' }] });
  const { created } = await reconcile('restoreLost');
  const times = new Map(created.map(({ id, dueAt, request }) => [id, { dueAt, ttlMs: request.ttlMs }]));
  expect(times.get(moved.id)).toEqual({ dueAt: Date.parse(moved.scheduledFor ?? ''), ttlMs: null });
  expect(times.get(due.id)).toEqual({ dueAt: Date.parse(event.at), ttlMs: 60_000 });
});

it('a job that is too old to be sure of it is ended as lost', async () => {
  const old = aJob();
  await project(store, old);
  const { created } = await reconcile('restoreLost');
  expect(created).toEqual([]);
  expect(await statusOf(old.id)).toBe('execution.lost');
});

it('a job that Redis has forgotten is ended, not created again, and no session comes back', async () => {
  const young = aJob({ createdAt: now() });
  await project(store, young);
  const ended = await running('an earlier boot');
  await ended.end();
  const { created, sessions } = await reconcile('endForgotten');
  expect([created, sessions]).toEqual([[], []]);
  expect([await statusOf(young.id), await statusOf(ended.id)]).toEqual(['execution.lost', 'succeeded']);
});

it('only the named jobs are ended, when those are known that Redis has forgotten', async () => {
  const [named, other] = [await running('an earlier boot'), await running('an earlier boot')];
  await reconcile('endForgotten', [], new Map(), [named.id, ulid()]);
  expect([await statusOf(named.id), await statusOf(other.id)]).toEqual(['execution.lost', 'running']);
});

it('the copy of a job that an older Redis knows in an earlier state takes its changes again', async () => {
  const copies = [1, 2, 3].map(() => aJob({ createdAt: now(), status: 'running', rev: 4 }));
  await project(store, ...copies);
  const [older, same, newer] = copies.map(({ id }) => id) as [string, string, string]; // there are three
  const revs = [
    [older, 1],
    [same, 4],
    [newer, 9],
  ] as const;
  await reconcile('restoreLost', [], new Map(revs));
  await project(
    store,
    ...copies.map((copy) => ({ ...copy, status: 'succeeded' as const, finishedAt: now() })),
  );
  expect(await Promise.all([older, same, newer].map(statusOf))).toEqual([
    'succeeded',
    'succeeded',
    'running',
  ]);
});

it('a job that ran gets the outcome of the ledger, else the outcome lost, and never runs again', async () => {
  const ended = await running('an earlier boot');
  await ended.end();
  const unknown = await running('an earlier boot');
  expect((await reconcile('restoreLost')).created).toEqual([]);
  expect([await statusOf(ended.id), await statusOf(unknown.id)]).toEqual(['succeeded', 'execution.lost']);
  const events = await store.run('events.read', { jobId: ended.id, after: 0, limit: 10 });
  expect(events.map(({ kind }) => kind)).toEqual(['job.finished']);
});

it('a job that waited for a person ends as lost, with what it said, and its approvals are cancelled', async () => {
  const job = aJob({ createdAt: now(), status: 'waiting', waitReason: 'approval', attempts: 1 });
  const approval = (id: string, status: 'pending' | 'denied'): Approval => ({
    ...{ id, jobId: job.id, sessionId: job.sessionId, project: 'default', kind: 'tool', tool: 'Bash' },
    ...{ input: {}, questions: null, status, createdAt: now(), expiresAt: now() },
    ...{ decidedBy: null, decidedAt: null },
  });
  const [open, denied] = [approval(ulid(), 'pending'), approval(ulid(), 'denied')];
  const copies = { jobs: [job], removed: [], cursor: null, approvals: [open, denied] };
  await store.run('copies.apply', copies);
  const executionId = `execution of ${job.id}`;
  const ran = { ...anIntent(executionId, now()), jobId: job.id, bootId: 'an earlier boot' };
  await store.run('executions.intent', ran);
  const error = wireError('execution.awaiting_approval', 'a person has to answer');
  const outcome = anOutcome({ executionId, status: 'failed', text: 'so far', error });
  const delivery = { ...NO_DELIVERY, parked: true };
  await store.run('executions.ended', { executionId, outcome, delivery, sessionTokens: null, at: now() });
  expect((await reconcile('restoreLost')).created).toEqual([]);
  expect(await store.run('jobs.get', { id: job.id })).toMatchObject({
    ...{ status: 'failed', waitReason: null },
    outcome: { text: 'so far', error: { code: 'execution.lost' } },
  });
  const statuses = [open, denied].map(async ({ id }) => (await store.run('approvals.get', { id }))?.status);
  expect(await Promise.all(statuses)).toEqual(['cancelled', 'denied']);
});

it('an execution of this boot without an outcome is left alone: its end settles the job', async () => {
  const job = await running(BOOT);
  await reconcile('restoreLost');
  expect(await statusOf(job.id)).toBe('running');
});

it('after a refused outcome only what the ledger knows is settled, also with a damaged record', async () => {
  const known = await running(BOOT);
  await known.end();
  const unknown = await running('an earlier boot');
  const young = aJob({ createdAt: now() });
  await project(store, young);
  const { created } = await reconcile('settleKnown', [known.id]);
  expect(created).toEqual([]);
  expect(await Promise.all([known.id, unknown.id, young.id].map(statusOf))).toEqual([
    'succeeded',
    'running',
    'queued',
  ]);
});

it('sessions come back with their streams; one whose turns are lost is ready for the next', async () => {
  const record = (rest: Partial<SessionRecord>): SessionRecord => ({
    ...{ id: ulid(), rev: 4, kind: 'chat', explicit: true, name: null, status: 'busy', statusReason: null },
    ...{ project: 'default', principal: 'alice', options: { provider: 'claude', cwd: '/srv' }, signed: true },
    ...{
      nativeSessionId: 'n',
      fork: null,
      node: 'n1',
      rules: ['Bash(ls)'],
      matchedLine: null,
      terminal: null,
      turns: 2,
      lastSeq: 7,
    },
    ...{ createdAt: 1, lastActivityAt: 2, closedAt: null, tags: [], metadata: {}, ...rest },
  });
  const [open, over] = [record({}), record({ status: 'closed', closedAt: 3 })];
  const terminal = record({ kind: 'terminal', terminal: { cols: 80, rows: 24, exitCode: null } });
  const entries = [{ seq: 7, jobId: 'j', from: 1, to: 7 }];
  await store.run('copies.apply', {
    ...{ jobs: [aJob({ createdAt: now(), sessionId: open.id })], removed: [], cursor: null },
    sessions: [
      { record: open, entries },
      { record: over, entries: [] },
      { record: terminal, entries: [] },
    ],
  });
  const { created, sessions } = await reconcile('restoreLost');
  // Redis may be an older one that knows an earlier state of the session.
  await store.run('copies.apply', {
    ...{ jobs: [], removed: [], cursor: null },
    sessions: [{ record: { ...over, rev: 2, status: 'ready', closedAt: null }, entries: [] }],
  });
  expect(await store.run('sessions.get', { id: over.id })).toMatchObject({ status: 'ready' });
  const restored = sessions.filter(({ record: { id } }) =>
    [open, over, terminal].some((one) => one.id === id),
  );
  expect(restored).toHaveLength(3);
  // The turn that never began is made again, and counts then.
  expect(restored).toContainEqual({ record: { ...open, status: 'ready', turns: 1 }, entries });
  expect(restored).toContainEqual({ record: over, entries: [] });
  expect(restored).toContainEqual({ record: terminal, entries: [] }); // its program may still run
  expect(created.map(({ sessionId }) => sessionId)).toEqual([open.id]);
});
