/** Copies of sessions and approvals, and what callers are shown of them. */
import { ulid } from 'ulid';
import { describe, expect, it } from 'vitest';
import { type ErrorCode, wireError } from '../../../src/errors.ts';
import type { SessionQuery } from '../../../src/http/session-ports.ts';
import type { Approval } from '../../../src/protocol/approval.ts';
import type { SessionEntry, SessionRecord } from '../../../src/records/session-ports.ts';
import type { JobCopy } from '../../../src/store/jobs.ts';
import type { Store } from '../../../src/store/store.ts';
import { createTerminalLedger } from '../../../src/store/terminals.ts';
import { AT, aFinishedJob, aJob, anOutcome, project, testStore } from './test-store.ts';

const MINUTE = 60_000;
const at = (minutes: number): string => new Date(Date.parse(AT) + minutes * MINUTE).toISOString();
const idAt = (minutes: number): string => ulid(Date.parse(at(minutes)));

const aSession = (rest: Partial<SessionRecord> = {}): SessionRecord => ({
  ...{ id: ulid(), rev: 1, kind: 'chat', explicit: true, name: null, status: 'ready', statusReason: null },
  ...{ project: 'default', principal: 'alice', options: { provider: 'claude', cwd: '/srv' }, signed: true },
  ...{
    nativeSessionId: null,
    fork: null,
    node: null,
    rules: [],
    matchedLine: null,
    terminal: null,
    turns: 0,
    lastSeq: 1,
  },
  ...{ createdAt: Date.parse(AT), lastActivityAt: Date.parse(AT), closedAt: null, tags: [], metadata: {} },
  ...rest,
});

const anApproval = (rest: Partial<Approval> = {}): Approval => ({
  ...{ id: ulid(), jobId: ulid(), sessionId: ulid(), project: 'default', kind: 'tool', tool: 'Bash' },
  ...{ input: { command: 'ls' }, questions: null, status: 'pending', createdAt: AT, expiresAt: at(60) },
  ...{ decidedBy: null, decidedAt: null },
  ...rest,
});

const query = (rest: Partial<SessionQuery> = {}): SessionQuery => ({
  ...{ status: [], kind: null, provider: null, tag: [], q: null, all: false, limit: 50, cursor: null },
  ...rest,
});

const NOTHING = { jobs: [], removed: [], cursor: null };
const keep = (store: Store, record: SessionRecord, entries: readonly SessionEntry[] = []) =>
  store.run('copies.apply', { ...NOTHING, sessions: [{ record, entries }] });

const list = async (store: Store, rest: Partial<SessionQuery> = {}, live: readonly string[] = []) =>
  (await store.run('sessions.list', { project: null, query: query(rest), live })).data.map(({ id }) => id);

/** A session of one job, which has ended so. */
function single(minutes: number, rest: Partial<JobCopy> = {}): JobCopy {
  const id = idAt(minutes);
  return aFinishedJob(at(minutes), { id, sessionId: id, ...rest });
}

describe('a copy of a session', () => {
  it('has what the record has, and is replaced by a newer revision only', async () => {
    const store = await testStore();
    const record = aSession({
      ...{
        name: 'my chat',
        rev: 2,
        turns: 3,
        nativeSessionId: 'n',
        node: 'n1',
        statusReason: 'auth.required',
      },
      ...{ status: 'awaiting_auth', tags: ['a'], metadata: { b: 'c' }, rules: ['Bash(ls)'] },
      options: { provider: 'codex', cwd: '/srv', model: 'gpt', allowedTools: [] },
      fork: { sessionId: ulid(), nativeSessionId: 'old' },
    });
    await keep(store, record);
    await keep(store, { ...record, rev: 1, name: 'older' });
    await keep(store, { ...record, rev: 2, name: 'as new' });
    expect(await store.run('sessions.copy', { id: record.id })).toEqual({ record, entries: [], waiting: 0 });
    expect(await store.run('sessions.get', { id: record.id })).toEqual({
      ...{ id: record.id, kind: 'chat', explicit: true, name: 'my chat', status: 'awaiting_auth' },
      ...{ statusReason: 'auth.required', project: 'default', principal: 'alice', provider: 'codex' },
      ...{ model: 'gpt', cwd: '/srv', nativeSessionId: 'n', node: 'n1', turns: 3, usage: null },
      ...{ forkedFrom: record.fork?.sessionId, createdAt: AT, lastActivityAt: AT, closedAt: null },
      ...{ tags: ['a'], metadata: { b: 'c' }, matchedLine: null, terminal: null },
    });
    await keep(store, { ...record, rev: 3, status: 'closed', closedAt: Date.parse(at(1)) });
    expect(await store.run('sessions.get', { id: record.id })).toMatchObject({
      ...{ status: 'closed', closedAt: at(1) },
    });
    await store.run('copies.apply', { ...NOTHING, removedSessions: [record.id] });
    expect(await store.run('sessions.get', { id: record.id })).toBeNull();
    expect(await store.run('sessions.entries', { id: record.id, after: 0, limit: 5 })).toEqual([]);
  });

  it('has the entries of its stream; a pointer that has grown replaces the shorter one', async () => {
    const store = await testStore();
    const record = aSession();
    const changed: SessionEntry = { seq: 1, at: AT, status: 'ready', reason: null };
    const failed: SessionEntry = {
      seq: 8,
      at: at(1),
      status: 'failed',
      reason: 'execution.node_unavailable',
    };
    const pointer = (to: number): SessionEntry => ({ seq: to - 1, jobId: 'j', from: 3, to });
    await keep(store, record, [changed, pointer(5)]);
    expect(await store.run('sessions.copied', { id: record.id })).toBe(1);
    await keep(store, record, [pointer(8), failed]);
    await keep(store, record, [pointer(5)]);
    const all = [changed, pointer(8), failed];
    expect(await store.run('sessions.entries', { id: record.id, after: 0, limit: 10 })).toEqual(all);
    expect(await store.run('sessions.entries', { id: record.id, after: 4, limit: 1 })).toEqual([pointer(8)]);
    expect(await store.run('sessions.entries', { id: record.id, after: 7, limit: 10 })).toEqual([failed]);
    expect(await store.run('sessions.copied', { id: record.id })).toBe(7);
    expect(await store.run('sessions.copied', { id: ulid() })).toBe(0);
  });

  it('sums the use of all its jobs', async () => {
    const store = await testStore();
    const id = ulid();
    await project(
      store,
      aFinishedJob(AT, { sessionId: id }),
      aFinishedJob(AT, { sessionId: id, outcome: anOutcome({ usage: null }) }),
      aFinishedJob(AT, { sessionId: id }),
      aJob({ sessionId: id }),
      aFinishedJob(AT),
    );
    expect(await store.run('sessions.usage', { id })).toMatchObject({ inputTokens: 24, costUsd: 0.5 });
    expect(await store.run('sessions.usage', { id: ulid() })).toBeNull();
  });

  it('is removed when it is old and its last job is, not before', async () => {
    const store = await testStore();
    const [old, young, used] = [aSession(), aSession({ lastActivityAt: Date.parse(at(60)) }), aSession()];
    for (const session of [old, young, used]) await keep(store, session);
    await project(store, aJob({ sessionId: used.id }));
    const limits = { finishedJobsBefore: at(30), eventsBefore: at(30), usageBefore: at(30), limit: 100 };
    for (let more = true; more; ) ({ more } = await store.run('retention.sweep', limits));
    expect(await store.run('sessions.ids', { after: '', limit: 9 })).toEqual([young.id, used.id].sort());
  });
});

describe('a copy of a terminal', () => {
  const terminal = { cols: 120, rows: 40, exitCode: null };
  const aTerminal = (rest: Partial<SessionRecord> = {}): SessionRecord =>
    aSession({ kind: 'terminal', status: 'awaiting_input', terminal, matchedLine: 'Proceed? y/n', ...rest });

  it('has its size, its exit code and the line that it waits with; a command has its name', async () => {
    const store = await testStore();
    const options = { provider: 'shell', cwd: '/srv', command: 'shell' };
    const record = aTerminal({ options });
    await keep(store, record);
    expect(await store.run('sessions.copy', { id: record.id })).toEqual({ record, entries: [], waiting: 0 });
    expect(await store.run('sessions.get', { id: record.id })).toMatchObject({
      ...{ kind: 'terminal', matchedLine: 'Proceed? y/n', terminal: { ...terminal, command: 'shell' } },
    });
    const ended = { rev: 2, status: 'failed', matchedLine: null } as const;
    await keep(store, { ...record, ...ended, terminal: { ...terminal, exitCode: 3 } });
    expect(await store.run('sessions.get', { id: record.id })).toMatchObject({
      ...{ status: 'failed', matchedLine: null, terminal: { ...terminal, exitCode: 3, command: 'shell' } },
    });
    const cli = aTerminal({ id: idAt(1) });
    await keep(store, cli);
    const { data } = await store.run('sessions.list', {
      ...{ project: null, query: query({ kind: 'terminal' }), live: [] },
    });
    expect(data.map(({ id, terminal: shown }) => [id, shown?.command])).toEqual(
      expect.arrayContaining([
        [cli.id, null],
        [record.id, 'shell'],
      ]),
    );
  });

  it('has its statuses, not its output', async () => {
    const store = await testStore();
    const record = aTerminal({ lastSeq: 3 });
    const asked: SessionEntry = { ...{ seq: 1, at: AT, reason: null }, status: 'awaiting_input' };
    const entries: readonly SessionEntry[] = [
      { ...asked, matchedLine: 'Proceed? y/n' },
      { seq: 2, at: AT, event: { kind: 'terminal.output', offset: 0, data: 'YQ==' } },
      { seq: 3, at: AT, status: 'ready', reason: null },
    ];
    await keep(store, record, entries);
    const kept = await store.run('sessions.entries', { id: record.id, after: 0, limit: 10 });
    expect(kept).toEqual([entries[0], entries[2]]);
  });

  it('is kept while its program runs', async () => {
    const store = await testStore();
    const [open, over] = [aTerminal(), aTerminal({ status: 'closed' })];
    for (const record of [open, over]) await keep(store, record);
    const limits = { finishedJobsBefore: at(30), eventsBefore: at(30), usageBefore: at(30), limit: 100 };
    for (let more = true; more; ) ({ more } = await store.run('retention.sweep', limits));
    expect(await store.run('sessions.ids', { after: '', limit: 9 })).toEqual([open.id]);
  });
});

describe('the ledger of terminals', () => {
  it('knows those of an earlier start that have no end, and no execution of a job', async () => {
    const store = await testStore();
    const [before, now] = [createTerminalLedger(store, 'boot 1'), createTerminalLedger(store, 'boot 2')];
    const ids = ['a', 'b', 'c'].map((executionId) => ({ executionId, sessionId: `s ${executionId}` }));
    for (const one of ids) await before.intend({ ...one, provider: 'claude' });
    await before.started('b', 7);
    await before.ended('c', { errorCode: 'execution.crashed' });
    await now.intend({ executionId: 'd', sessionId: 's d', provider: 'claude' });
    expect(await before.open()).toEqual([{ executionId: 'd', sessionId: 's d' }]);
    expect(await now.open()).toEqual(ids.slice(0, 2));
    await now.ended('a', { errorCode: 'execution.lost' });
    await now.ended('a', { errorCode: null });
    expect(await now.open()).toEqual(ids.slice(1, 2));
    expect(await store.run('executions.unsettled', {})).toEqual([]);
    const later = new Date(Date.now() + 60_000).toISOString();
    const limits = { finishedJobsBefore: later, eventsBefore: at(0), usageBefore: at(0), limit: 1 };
    for (let more = true; more; ) ({ more } = await store.run('retention.sweep', limits));
    expect(await now.open()).toEqual(ids.slice(1, 2));
    await expect(now.intend({ executionId: 'b', sessionId: 's', provider: 'claude' })).rejects.toThrow();
    await now.intend({ executionId: 'a', sessionId: 's', provider: 'claude' }); // its row is old and gone
  });
});

describe('a session without a record', () => {
  it('is shown from its job', async () => {
    const store = await testStore();
    const open = { finishedAt: null, outcome: null } as const;
    const ends = (code: ErrorCode) => ({ outcome: anOutcome({ error: wireError(code, 'why') }) });
    const states = [
      [{ status: 'queued', ...open }, 'starting', null],
      [{ status: 'scheduled', ...open }, 'starting', null],
      [{ status: 'running', attempts: 1, ...open }, 'busy', null],
      [{ status: 'waiting', waitReason: 'approval', ...open }, 'awaiting_input', null],
      [{ status: 'succeeded' }, 'ready', null],
      [{ status: 'failed', ...ends('execution.crashed') }, 'ready', 'execution.crashed'],
      [{ status: 'cancelled', ...ends('execution.interrupted') }, 'interrupted', 'execution.interrupted'],
      [{ status: 'failed', ...ends('auth.required') }, 'awaiting_auth', 'auth.required'],
      [{ status: 'failed', ...ends('execution.node_unavailable') }, 'failed', 'execution.node_unavailable'],
    ] as const;
    for (const [state, status, statusReason] of states) {
      const job = single(0, state);
      await project(store, job);
      expect(await store.run('sessions.get', { id: job.id })).toMatchObject({
        ...{ id: job.id, kind: 'chat', explicit: false, status, statusReason, turns: 1, provider: 'claude' },
      });
      expect(await list(store, { all: true, status: [status] })).toContain(job.id);
      expect(await list(store, { all: true, status: ['closed'] })).toEqual([]);
    }
  });

  it('waits for a person while an approval of its running job is open', async () => {
    const store = await testStore();
    const job = single(0, { status: 'running', attempts: 1, finishedAt: null, outcome: null });
    const approval = anApproval({ jobId: job.id, sessionId: job.id });
    await project(store, job);
    await store.run('copies.apply', { ...NOTHING, approvals: [approval] });
    expect(await store.run('sessions.get', { id: job.id })).toMatchObject({ status: 'awaiting_input' });
    await store.run('copies.apply', { ...NOTHING, approvals: [{ ...approval, status: 'denied' }] });
    expect(await store.run('sessions.get', { id: job.id })).toMatchObject({ status: 'busy' });
  });

  it('gets from its jobs the record and the stream that Redis needs to go on with it', async () => {
    const store = await testStore();
    const id = idAt(0);
    const [first, second] = [
      aFinishedJob(at(0), {
        id,
        sessionId: id,
        node: 'n1',
        outcome: anOutcome({ sessionId: id, nativeSessionId: 'n' }),
      }),
      aFinishedJob(at(1), { id: idAt(1), sessionId: id }),
    ];
    await project(store, first, second);
    for (const [jobId, count] of [
      [first.id, 3],
      [second.id, 2],
    ] as const) {
      const events = Array.from({ length: count }, (_, index) => ({
        ...{ seq: index + 1, jobId, attempt: 1, at: AT, raw: null, kind: 'text' as const, text: 't' },
      }));
      await store.run('events.append', { jobId, events });
    }
    const entries = [
      { seq: 3, jobId: first.id, from: 1, to: 3 },
      { seq: 5, jobId: second.id, from: 1, to: 2 },
    ];
    expect(await store.run('sessions.copy', { id })).toMatchObject({
      record: {
        ...{ id, explicit: false, status: 'ready', turns: 2, lastSeq: 5, nativeSessionId: 'n', node: 'n1' },
        ...{ createdAt: Date.parse(at(0)), lastActivityAt: Date.parse(at(1)) },
        options: { provider: 'claude', cwd: first.request.cwd },
      },
      entries,
    });
    expect(await store.run('sessions.entries', { id, after: 3, limit: 10 })).toEqual(entries.slice(1));
    expect(await store.run('sessions.copy', { id: ulid() })).toBeNull();
  });
});

describe('the list of sessions', () => {
  it('has those of POST, those with two turns and those with a live process; all of them with all', async () => {
    const store = await testStore();
    const [one, live] = [single(1), single(2)];
    const [twice, again] = [single(3), aFinishedJob(at(4), { id: idAt(4) })];
    const made = aSession({ id: idAt(5), lastActivityAt: Date.parse(at(5)) });
    const kept = aSession({ id: idAt(6), explicit: false, turns: 1, lastActivityAt: Date.parse(at(6)) });
    const grown = aSession({ id: idAt(7), explicit: false, turns: 2, lastActivityAt: Date.parse(at(7)) });
    await project(store, one, live, twice, { ...again, sessionId: twice.id });
    for (const session of [made, kept, grown]) await keep(store, session);
    expect(await list(store, {}, [live.id])).toEqual([grown.id, made.id, twice.id, live.id]);
    const all = [grown.id, kept.id, made.id, twice.id, live.id, one.id];
    expect(await list(store, { all: true })).toEqual(all);
    const pageOf = (cursor: string | null) =>
      store.run('sessions.list', { project: null, query: query({ all: true, limit: 2, cursor }), live: [] });
    const first = await pageOf(null);
    const second = await pageOf(first.nextCursor);
    const third = await pageOf(second.nextCursor);
    expect(third.nextCursor).toBeNull();
    const pages = [first, second, third].flatMap(({ data }) => data.map(({ id }) => id));
    expect(pages).toEqual(all);
  });

  it('has each filter, alone and together, and only the caller’s project', async () => {
    const store = await testStore();
    const a = aSession({ name: 'Fix 100%', tags: ['x', 'y'], status: 'busy' });
    const b = aSession({ options: { provider: 'codex', cwd: '/' }, tags: ['x'], project: 'web' });
    for (const session of [a, b]) await keep(store, session);
    await project(store, aFinishedJob(AT, { sessionId: b.id, request: { prompt: 'Look at the Parser' } }));
    expect(await list(store, { status: ['busy', 'failed'] })).toEqual([a.id]);
    expect(await list(store, { kind: 'terminal' })).toEqual([]);
    expect(await list(store, { provider: 'codex' })).toEqual([b.id]);
    expect((await list(store, { tag: ['x'] })).sort()).toEqual([a.id, b.id].sort());
    expect(await list(store, { tag: ['x', 'y'] })).toEqual([a.id]);
    expect(await list(store, { q: '100%' })).toEqual([a.id]);
    expect(await list(store, { q: '_' })).toEqual([]);
    expect(await list(store, { q: 'parser' })).toEqual([b.id]);
    expect(await list(store, { q: 'parser', status: ['busy'] })).toEqual([]);
    const own = await store.run('sessions.list', { project: 'web', query: query({ all: true }), live: [] });
    expect(own.data.map(({ id }) => id)).toEqual([b.id]);
    await expect(list(store, { cursor: 'AAAA' })).rejects.toMatchObject({ code: 'request.invalid' });
    expect(await store.run('sessions.counts', {})).toEqual({ busy: 1, ready: 1 });
  });
});

it('the turns of a session come in order, with their numbers, in pages', async () => {
  const store = await testStore();
  const id = ulid();
  const jobs = [0, 1, 2].map((minute) =>
    aFinishedJob(at(minute), { id: idAt(minute), sessionId: id, request: { prompt: `p${minute}` } }),
  );
  await project(store, ...jobs, aJob({ id: idAt(3), sessionId: id }));
  const first = await store.run('sessions.turns', { id, limit: 2, cursor: null });
  expect(first.data).toMatchObject([
    { turn: 1, jobId: jobs[0]?.id, prompt: 'p0', status: 'succeeded', outcome: { text: 'the answer' } },
    { turn: 2, jobId: jobs[1]?.id, prompt: 'p1', finishedAt: at(1) },
  ]);
  const second = await store.run('sessions.turns', { id, limit: 2, cursor: first.nextCursor });
  expect(second.data).toMatchObject([
    { turn: 3, prompt: 'p2' },
    { turn: 4, status: 'queued', outcome: null, finishedAt: null },
  ]);
  expect(second.nextCursor).toBeNull();
});

describe('copies of approvals', () => {
  it('one that is over stays as it is, whatever an older state of Redis has', async () => {
    const store = await testStore();
    const approval = anApproval();
    const decided = { ...approval, status: 'allowed', decidedBy: 'bob', decidedAt: at(1) } as const;
    for (const one of [approval, decided, approval])
      await store.run('copies.apply', { ...NOTHING, approvals: [one] });
    expect(await store.run('approvals.get', { id: approval.id })).toEqual(decided);
    expect(await store.run('approvals.get', { id: ulid() })).toBeNull();
  });

  it('are listed oldest first, with each filter, in pages; they go with their job', async () => {
    const store = await testStore();
    const job = aFinishedJob();
    await project(store, job);
    const approvals = [0, 1, 2].map((minute) => anApproval({ id: idAt(minute), jobId: job.id }));
    const [a, b, c] = approvals.map(({ id }) => id);
    const other = anApproval({ id: idAt(3), project: 'web', status: 'expired', sessionId: job.id });
    await store.run('copies.apply', { ...NOTHING, approvals: [...approvals, other] });
    const none = { status: null, jobId: null, sessionId: null, limit: 2, cursor: null };
    const page = (rest: object, owner: string | null = null) =>
      store.run('approvals.list', { project: owner, query: { ...none, ...rest } });
    const idsOf = async (rest: object, owner: string | null = null) =>
      (await page(rest, owner)).data.map(({ id }) => id);
    const { nextCursor } = await page({});
    expect([await idsOf({}), await idsOf({ cursor: nextCursor })]).toEqual([
      [a, b],
      [c, other.id],
    ]);
    expect(await idsOf({ status: 'expired' })).toEqual([other.id]);
    expect(await idsOf({ jobId: job.id, limit: 9 })).toEqual([a, b, c]);
    expect(await idsOf({ sessionId: job.id })).toEqual([other.id]);
    expect(await idsOf({}, 'web')).toEqual([other.id]);
    await store.run('jobs.delete', { id: job.id });
    expect(await idsOf({})).toEqual([other.id]);
  });
});
