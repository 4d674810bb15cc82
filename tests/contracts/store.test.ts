import { ulid } from 'ulid';
import { describe, expect, it } from 'vitest';
import type { StoredEvent } from '../../src/protocol/event.ts';
import { createEndedLogins } from '../../src/store/ended-logins.ts';
import { createUsedSignatures, KEEP_SIGNATURES_MS } from '../../src/store/used-signatures.ts';
import {
  AT,
  aFinishedJob,
  aJob,
  anIntent,
  anOutcome,
  aQuery,
  ledgerFile,
  NO_DELIVERY,
  project,
  testStore,
} from '../integration/store/test-store.ts';

const LATER = '2026-03-01T12:05:00.000Z';

const text = (jobId: string, seq: number, overrides: Partial<StoredEvent> = {}): StoredEvent =>
  // as: an override of a common field keeps the kind.
  ({ seq, jobId, attempt: 1, at: AT, raw: null, kind: 'text', text: `t${seq}`, ...overrides }) as StoredEvent;

describe('executions', () => {
  it('an intent is stored once; the second time the caller learns that it must not spawn', async () => {
    const store = await testStore();
    expect(await store.run('executions.intent', anIntent('e1'))).toEqual({ inserted: true });
    expect(await store.run('executions.intent', { ...anIntent('e1'), attempt: 8 })).toEqual({
      inserted: false,
    });
    const { at, ...intent } = anIntent('e1');
    expect(await store.run('executions.find', { jobId: 'job of e1', attempt: 1 })).toEqual({
      ...intent,
      createdAt: at,
      state: 'intent',
      pid: null,
      startedAt: null,
    });
  });

  it('an intent of a known attempt under another id, or of a job that has ended, is refused', async () => {
    const store = await testStore();
    await store.run('executions.intent', anIntent('e1'));
    const again = { ...anIntent('e2'), jobId: 'job of e1' };
    expect(await store.run('executions.intent', again)).toEqual({ inserted: false });
    expect(await store.run('executions.intent', { ...again, attempt: 2 })).toEqual({ inserted: true });
    const ended = aFinishedJob();
    await project(store, ended);
    expect(await store.run('executions.intent', { ...anIntent('e3'), jobId: ended.id })).toEqual({
      inserted: false,
    });
  });

  it('find answers null for an execution that never was', async () => {
    const store = await testStore();
    expect(await store.run('executions.find', { jobId: 'job of e0', attempt: 1 })).toBeNull();
  });

  it('a started execution has its pid and is unsettled, in any boot', async () => {
    const store = await testStore();
    await store.run('executions.intent', anIntent('e1'));
    await store.run('executions.intent', { ...anIntent('e2', LATER), bootId: 'boot-2' });
    expect(await store.run('executions.started', { executionId: 'e2', pid: 42, at: LATER })).toEqual({
      stored: true,
    });
    expect(await store.run('executions.unsettled', {})).toMatchObject([
      { executionId: 'e1', state: 'intent', bootId: 'boot-1' },
      { executionId: 'e2', state: 'running', bootId: 'boot-2', pid: 42, startedAt: LATER },
    ]);
  });

  it('the first outcome wins', async () => {
    const store = await testStore();
    await store.run('executions.intent', anIntent('e1'));
    const tail = [{ event: { kind: 'text', text: 'late' } as const, raw: '{"a":\u0000}', at: 1 }];
    const delivery = { ...NO_DELIVERY, from: 3, tail };
    const first = { executionId: 'e1', outcome: anOutcome(), delivery, at: LATER };
    expect(await store.run('executions.ended', first)).toEqual({ stored: true });
    const second = { ...first, outcome: anOutcome({ text: 'other' }), delivery: NO_DELIVERY };
    expect(await store.run('executions.ended', second)).toEqual({ stored: false });
    expect(await store.run('executions.started', { executionId: 'e1', pid: 1, at: LATER })).toEqual({
      stored: false,
    });
    expect(await store.run('executions.find', { jobId: 'job of e1', attempt: 1 })).toMatchObject({
      state: 'ended',
      endedAt: LATER,
      outcome: anOutcome(),
      delivery,
    });
    expect(await store.run('executions.unsettled', {})).toEqual([]);
  });

  it('of a job are read by attempt, each in its state', async () => {
    const store = await testStore();
    const { jobId } = anIntent('e1');
    await store.run('executions.intent', { ...anIntent('e2'), jobId, attempt: 2 });
    await store.run('executions.intent', anIntent('e1'));
    await store.run('executions.intent', anIntent('e3'));
    await store.run('executions.started', { executionId: 'e2', pid: 7, at: LATER });
    const rows = await store.run('executions.ofJob', { jobId });
    expect(rows).toMatchObject([
      { executionId: 'e1', attempt: 1, state: 'intent' },
      { executionId: 'e2', attempt: 2, state: 'running', startedAt: LATER },
    ]);
  });

  it('an outcome without an intent is refused', async () => {
    const store = await testStore();
    const ended = store.run('executions.ended', {
      executionId: 'e0',
      outcome: anOutcome(),
      delivery: NO_DELIVERY,
      at: AT,
    });
    await expect(ended).rejects.toMatchObject({ code: 'internal.error' });
  });

  it('the outbox holds what ended and was not delivered, oldest first', async () => {
    const store = await testStore();
    for (const [executionId, at] of [
      ['e1', LATER],
      ['e2', AT],
      ['e3', LATER],
    ] as const) {
      await store.run('executions.intent', anIntent(executionId));
      await store.run('executions.ended', { executionId, outcome: anOutcome(), delivery: NO_DELIVERY, at });
    }
    const ids = async (limit: number) =>
      (await store.run('executions.outbox', { limit })).map(({ executionId }) => executionId);
    expect(await ids(10)).toEqual(['e2', 'e1', 'e3']);
    expect(await ids(2)).toEqual(['e2', 'e1']);
    const delivered = { executionId: 'e2', superseded: false };
    expect(await store.run('executions.delivered', delivered)).toEqual({ stored: true });
    expect(await store.run('executions.delivered', delivered)).toEqual({ stored: false });
    await store.run('executions.delivered', { executionId: 'e1', superseded: true });
    expect(await ids(10)).toEqual(['e3']);
    expect(await store.run('executions.find', { jobId: 'job of e1', attempt: 1 })).toMatchObject({
      state: 'superseded',
      outcome: { text: 'the answer' },
    });
  });
});

describe('jobs', () => {
  it('a projected job comes back as it was', async () => {
    const store = await testStore();
    const job = aFinishedJob(AT, {
      cancelRequested: true,
      node: 'n1',
      request: {
        prompt: 'größe 👋',
        tags: ['a', 'b'],
        metadata: { k: 'v' },
        outputSchema: { type: 'object' },
      },
    });
    await project(store, job);
    expect(await store.run('jobs.get', { id: job.id })).toEqual(job);
    expect(await store.run('jobs.get', { id: ulid() })).toBeNull();
  });

  it('a revision applies only when it is newer, and the cursor moves either way', async () => {
    const store = await testStore();
    const job = aJob({ rev: 2, status: 'running' });
    const cursor = (value: string) => ({ removed: [], cursor: { name: 'log', value } });
    expect(await store.run('cursors.get', { name: 'log' })).toBeNull();
    expect(await store.run('copies.apply', { jobs: [job], ...cursor('1-0') })).toMatchObject({ applied: 1 });
    const older = { ...job, rev: 1, status: 'queued' as const };
    expect(await store.run('copies.apply', { jobs: [older, job], ...cursor('2-0') })).toMatchObject({
      applied: 0,
    });
    expect(await store.run('jobs.get', { id: job.id })).toMatchObject({ rev: 2, status: 'running' });
    expect(await store.run('cursors.get', { name: 'log' })).toBe('2-0');
  });

  it('a removed job goes with its events and the content of its executions, whose cost stays', async () => {
    const store = await testStore();
    const job = aFinishedJob();
    await store.run('executions.intent', { ...anIntent('e1'), jobId: job.id });
    await project(store, job);
    await store.run('events.append', { jobId: job.id, events: [text(job.id, 1)] });
    await store.run('executions.ended', {
      executionId: 'e1',
      outcome: anOutcome(),
      delivery: NO_DELIVERY,
      at: AT,
    });
    await store.run('executions.delivered', { executionId: 'e1', superseded: false });
    const removal = { jobs: [job], removed: [job.id, ulid()], cursor: { name: 'log', value: '2-0' } };
    expect(await store.run('copies.apply', removal)).toEqual({
      ...{ applied: 0, removed: 1, ended: [], auditHead: null },
    });
    expect(await store.run('jobs.get', { id: job.id })).toBeNull();
    expect(await store.run('events.read', { jobId: job.id, after: 0, limit: 10 })).toEqual([]);
    expect(await store.run('executions.find', { jobId: job.id, attempt: 1 })).toMatchObject({
      state: 'delivered',
      outcome: null,
    });
    expect(await store.run('executions.intent', anIntent('e1'))).toEqual({ inserted: false });
  });

  it('delete leaves an outcome that is still in the outbox', async () => {
    const store = await testStore();
    const job = aFinishedJob(AT, { request: { tags: ['x'] } });
    await store.run('executions.intent', { ...anIntent('e1'), jobId: job.id });
    await project(store, job);
    await store.run('executions.ended', {
      executionId: 'e1',
      outcome: anOutcome(),
      delivery: NO_DELIVERY,
      at: AT,
    });
    expect(await store.run('jobs.delete', { id: job.id })).toEqual({ deleted: true });
    expect(await store.run('jobs.delete', { id: job.id })).toEqual({ deleted: false });
    expect(await store.run('executions.outbox', { limit: 5 })).toMatchObject([{ outcome: anOutcome() }]);
    const query = aQuery({ tag: ['x'] });
    expect(await store.run('jobs.list', { project: null, query })).toEqual({ rows: [], nextCursor: null });
  });

  it('a session goes on from its newest finished job that reached the CLI', async () => {
    const store = await testStore();
    const sessionId = ulid();
    const ran = (finishedAt: string, nativeSessionId: string) =>
      aFinishedJob(finishedAt, { node: 'n1', outcome: anOutcome({ sessionId, nativeSessionId }) });
    expect(await store.run('sessions.find', { sessionId })).toBeNull();
    await project(
      store,
      ran(LATER, 'native-2'),
      ran(AT, 'native-1'),
      aFinishedJob('2026-03-02T00:00:00.000Z', {
        request: { sessionId },
        status: 'cancelled',
        outcome: anOutcome({ status: 'cancelled' }),
      }),
      aJob({ status: 'running', request: { sessionId } }),
    );
    expect(await store.run('sessions.find', { sessionId })).toEqual({
      project: 'default',
      provider: 'claude',
      cwd: '/workspace',
      node: 'n1',
      nativeSessionId: 'native-2',
    });
  });

  it('an announced session continues where it was, also after its job failed', async () => {
    const store = await testStore();
    const [early, late] = [ulid(), ulid()];
    const job = aFinishedJob(AT, { status: 'failed', node: 'n2', outcome: anOutcome({ status: 'failed' }) });
    const said = (seq: number, attempt: number, event: object) => ({
      ...{ jobId: job.id, seq, attempt, kind: Object(event).kind, at: AT, raw: null },
      body: JSON.stringify(event),
    });
    const ran = (seq: number, attempt: number, sessionId: string | null, nativeSessionId: string) => [
      said(seq, attempt, { kind: 'job.running', executionId: 'e', node: `n${attempt}` }),
      said(seq + 1, attempt, { kind: 'session', sessionId, nativeSessionId, model: null }),
    ];
    const events = [...ran(1, 1, early, 'a'), ...ran(3, 2, late, 'b'), ...ran(5, 3, null, 'of its fallback')];
    await store.run('copies.apply', { jobs: [job], removed: [], cursor: null, events });
    expect(await store.run('sessions.find', { sessionId: early })).toMatchObject({
      ...{ node: 'n1', nativeSessionId: 'a' },
    });
    expect(await store.run('sessions.find', { sessionId: late })).toMatchObject({
      ...{ node: 'n2', nativeSessionId: 'b' },
    });
    await store.run('jobs.delete', { id: job.id });
    expect(await store.run('sessions.find', { sessionId: early })).toBeNull();
  });
});

describe('events', () => {
  it('that were stored as retry are read as api_retry', async () => {
    const store = await testStore();
    const old = { jobId: 'J', seq: 1, attempt: 1, at: AT, raw: null, kind: 'retry' };
    const body = '{"kind":"retry","retry":2,"reason":"busy"}';
    await store.run('copies.apply', { jobs: [], removed: [], cursor: null, events: [{ ...old, body }] });
    expect(await store.run('events.read', { jobId: 'J', after: 0, limit: 10 })).toEqual([
      { ...old, kind: 'api_retry', retry: 2, reason: 'busy' },
    ]);
  });

  it('are read in order after a seq, and a repeated one changes nothing', async () => {
    const store = await testStore();
    const events = [2, 1, 3].map((seq) => text('j', seq, { raw: `{"line":${seq}}` }));
    expect(await store.run('events.append', { jobId: 'j', events })).toEqual({ inserted: 3 });
    const again = [text('j', 3, { attempt: 9 }), text('j', 4)];
    expect(await store.run('events.append', { jobId: 'j', events: again })).toEqual({ inserted: 1 });
    const read = (after: number, limit: number) => store.run('events.read', { jobId: 'j', after, limit });
    expect(await read(0, 2)).toEqual([events[1], events[0]]);
    expect(await read(2, 10)).toEqual([events[2], text('j', 4)]);
    expect(await store.run('events.read', { jobId: 'other', after: 0, limit: 10 })).toEqual([]);
  });
});

describe('used signatures', () => {
  it('are new once, also when two requests come together and after a restart', async () => {
    const file = ledgerFile();
    const store = await testStore(file);
    const signatures = createUsedSignatures(store);
    expect(await Promise.all([signatures.use('a'), signatures.use('a'), signatures.use('b')])).toEqual([
      ...[true, false, true],
    ]);
    await store.close();
    const again = createUsedSignatures(await testStore(file));
    expect(await Promise.all([again.use('a'), again.use('b'), again.use('c')])).toEqual([false, false, true]);
  });

  it('are forgotten when nothing accepts them by now, some at each use', async () => {
    let now = 1_000_000;
    const signatures = createUsedSignatures(await testStore(), () => now);
    const names = Array.from({ length: 150 }, (_, index) => `s${100 + index}`);
    for (const name of names) expect(await signatures.use(name)).toBe(true);
    now += KEEP_SIGNATURES_MS;
    expect(await signatures.use('s249')).toBe(false);
    now += 1;
    // The first use removes 100 of them, the second one the rest.
    expect(await signatures.use('s249')).toBe(false);
    expect(await signatures.use('s249')).toBe(true);
    expect(await signatures.use('s249')).toBe(false);
  });
});

describe('ended logins', () => {
  it('are known after a restart, until their cookies have expired', async () => {
    const file = ledgerFile();
    const store = await testStore(file);
    const ended = createEndedLogins(store);
    expect(await ended.all()).toEqual([]);
    await ended.add({ id: 'a', untilMs: 1000 }, 0);
    await ended.add({ id: 'b', untilMs: 2000 }, 999);
    await ended.add({ id: 'b', untilMs: 3000 }, 999);
    await store.close();
    const again = createEndedLogins(await testStore(file));
    expect(await again.all()).toEqual([
      { id: 'a', untilMs: 1000 },
      { id: 'b', untilMs: 2000 },
    ]);
    await again.add({ id: 'c', untilMs: 3000 }, 2000);
    expect(await again.all()).toEqual([{ id: 'c', untilMs: 3000 }]);
  });
});
