/** The records of sessions, their transitions, and their streams. */
import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import type { SessionStoredEvent } from '../../../src/protocol/event.ts';
import type { NewSession, SessionRecord } from '../../../src/records/session-ports.ts';
import { KEEP_MS } from '../../helpers/redis-records.ts';
import type { Bench } from './bench.ts';
import {
  begun,
  CANCELLED,
  CREATED_AT,
  claimed,
  create,
  failed,
  finishOf,
  newJob,
  running,
  text,
} from './samples.ts';

const BY = { id: 'alice', address: null, requestId: null };
const ACT = { actor: BY, project: 'default' };

const newSession = (rest: Partial<NewSession> = {}): NewSession => ({
  id: ulid(),
  kind: 'chat',
  name: 'my chat',
  status: 'ready',
  project: 'default',
  principal: 'alice',
  options: { provider: 'claude', cwd: '/srv', allowedTools: [] },
  fork: null,
  node: null,
  tags: ['a'],
  metadata: { ticket: '7' },
  createdAt: CREATED_AT,
  by: BY,
  ...rest,
});

/** @param signedBench makes records that are signed */
export function sessions(bench: () => Bench, signedBench: () => Promise<Bench>): void {
  async function made(rest: Partial<NewSession> = {}): Promise<string> {
    const session = newSession(rest);
    await bench().sessions.create(session);
    return session.id;
  }

  async function session(id: string): Promise<SessionRecord> {
    const record = await bench().sessions.read(id);
    if (record === null) throw new Error(`there is no session ${id}`);
    return record;
  }

  const turn = (sessionId: string) => create(bench(), { sessionId });

  /** The events of a session as texts, after a check of their numbers. */
  async function story(id: string): Promise<readonly string[]> {
    const events = await bench().sessions.events(id, 0, 10_000);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    return events.map((event) =>
      event.kind === 'session.status'
        ? `${event.status}${event.reason === null ? '' : ` ${event.reason}`}`
        : event.kind,
    );
  }

  it('a session that POST makes is ready and has its fields; a second call leaves it as it is', async () => {
    const id = await made();
    const record = await session(id);
    expect(record).toMatchObject({
      ...{ kind: 'chat', explicit: true, name: 'my chat', status: 'ready', statusReason: null },
      ...{ project: 'default', principal: 'alice', turns: 0, lastSeq: 1, rules: [], fork: null },
      ...{ options: { provider: 'claude', cwd: '/srv', allowedTools: [] } },
      ...{ nativeSessionId: null, node: null, closedAt: null, tags: ['a'], metadata: { ticket: '7' } },
    });
    await bench().sessions.create(newSession({ id, name: 'another' }));
    expect(await session(id)).toEqual(record);
    expect(await story(id)).toEqual(['ready']);
  });

  it('its turns move it, and its stream has its changes and the events of its jobs', async () => {
    const id = await made({ status: 'starting' });
    const jobId = await turn(id);
    expect(await session(id)).toMatchObject({ status: 'starting', turns: 1 });
    const claim = await claimed(bench(), jobId);
    expect(await session(id)).toMatchObject({ status: 'busy' });
    await bench()
      .claimsOf('n1')
      .append(jobId, claim.executionId, 0, [begun(id), text('hello')]);
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { from: 2 }));
    expect(await session(id)).toMatchObject({
      ...{ status: 'ready', turns: 1, nativeSessionId: 'native-1', node: 'n1' },
    });
    expect(await story(id)).toEqual([
      ...['starting', 'job.queued', 'job.running', 'busy', 'session', 'text'],
      ...['execution.finished', 'job.finished', 'ready'],
    ]);
    const ofJob = (await bench().sessions.events(id, 0, 100)).flatMap((one) =>
      'jobSeq' in one ? [one] : [],
    );
    expect(ofJob.map(({ jobSeq }) => jobSeq)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(ofJob[2]).toMatchObject({ kind: 'session', jobId, sessionId: id, nativeSessionId: 'native-1' });
  });

  it('a single job makes no record; its events are those of its session', async () => {
    const claim = await running(bench());
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { tail: [begun(claim.jobId)] }));
    expect(await bench().sessions.read(claim.jobId)).toBeNull();
    expect(await story(claim.jobId)).toEqual(await bench().kinds(claim.jobId));
  });

  it('the second job makes the record, and the numbers of the events so far stay the same', async () => {
    const first = await running(bench(), {
      allowedTools: [],
      disallowedTools: ['Bash(rm *)'],
      model: 'opus',
    });
    await bench()
      .claimsOf('n1')
      .append(first.jobId, first.executionId, 0, [begun(first.jobId), text('a')]);
    const before = await bench().sessions.events(first.jobId, 0, 100);
    const second = await turn(first.jobId);
    expect(await session(first.jobId)).toMatchObject({
      ...{ explicit: false, status: 'busy', turns: 2, nativeSessionId: 'native-1', node: 'n1' },
      ...{
        options: { provider: 'claude', model: 'opus', allowedTools: [], disallowedTools: ['Bash(rm *)'] },
      },
    });
    expect((await bench().sessions.events(first.jobId, 0, 100)).slice(0, before.length)).toEqual(before);
    await bench()
      .claimsOf('n1')
      .finish(finishOf(first, { from: 2 }));
    expect(await session(first.jobId)).toMatchObject({ status: 'busy' });
    const next = await claimed(bench(), second);
    await bench().claimsOf('n1').finish(finishOf(next));
    expect(await story(first.jobId)).toEqual([
      ...['job.queued', 'job.running', 'session', 'text', 'job.queued'],
      ...['execution.finished', 'job.finished', 'job.running', 'execution.finished', 'job.finished', 'ready'],
    ]);
  });

  it.each([
    ['execution.interrupted', 'interrupted'],
    ['auth.required', 'awaiting_auth'],
    ['execution.node_unavailable', 'failed'],
    ['execution.crashed', 'ready'],
  ] as const)('a turn that ends with %s leaves it %s, with the reason', async (code, status) => {
    const id = await made();
    const claim = await claimed(bench(), await turn(id));
    const outcome = failed(claim.executionId, code);
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome, backoffMs: null }));
    expect(await session(id)).toMatchObject({ status, statusReason: code });
    await turn(id);
    expect(await session(id)).toMatchObject({ status: 'busy', statusReason: null });
  });

  it('a turn is open until its job has ended, also between two attempts', async () => {
    const id = await made();
    const job = newJob({ sessionId: id, maxAttempts: 2 });
    await bench().records.create(job);
    const claim = await claimed(bench(), job.id);
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome: failed(claim.executionId, 'execution.overloaded') }));
    expect(await session(id)).toMatchObject({ status: 'busy' });
    await bench().records.cancel(job.id, false, CANCELLED);
    expect(await session(id)).toMatchObject({ status: 'ready', statusReason: 'execution.cancelled' });
  });

  it('a closed session takes no job; its open turns end and it stays closed', async () => {
    const id = await made();
    const claim = await claimed(bench(), await turn(id));
    const waiting = await turn(id);
    expect(await bench().sessions.close(id, ACT)).toEqual({ found: true, open: [claim.jobId, waiting] });
    expect(await bench().sessions.close(id, ACT)).toEqual({ found: true, open: [claim.jobId, waiting] });
    const late = newJob({ sessionId: id });
    expect(await bench().records.create(late)).toEqual({ kind: 'closed' });
    expect(await bench().records.read(late.id)).toBeNull();
    await bench().records.cancel(waiting, false, CANCELLED);
    await bench().claimsOf('n1').finish(finishOf(claim));
    expect(await session(id)).toMatchObject({ status: 'closed', closedAt: expect.any(Number) });
    expect((await story(id)).filter((one) => one === 'closed')).toHaveLength(1);
    expect(await bench().sessions.close(id, ACT)).toEqual({ found: true, open: [] });
  });

  it('a job of a batch whose session was closed in between ends at once', async () => {
    const id = await made();
    const job = newJob({ sessionId: id }, { batch: 'b1' });
    const opened = { id: 'b1', project: 'default', principal: 'alice', createdAt: CREATED_AT };
    await bench().batches.open({ ...opened, entries: [{ id: job.id }], idempotency: null });
    await bench().sessions.close(id, ACT);
    await bench().batches.add('b1', 0, [job]);
    expect(await bench().record(job.id)).toMatchObject({
      ...{ status: 'failed', outcome: { error: { code: 'session.closed' } } },
    });
    expect(await session(id)).toMatchObject({ status: 'closed' });
    expect(await bench().claimsOf('n1').claim(5)).toEqual([]);
  });

  it('its open jobs come in the order in which they run, also without a record', async () => {
    const id = await made();
    const [first, second] = [await turn(id), await turn(id)];
    expect(await bench().sessions.open(id)).toEqual([first, second]);
    await bench().records.cancel(first, false, CANCELLED);
    await claimed(bench(), second);
    const third = await turn(id);
    expect(await bench().sessions.open(id)).toEqual([second, third]);
    const single = await running(bench());
    expect(await bench().sessions.open(single.jobId)).toEqual([single.jobId]);
    await bench().claimsOf('n1').finish(finishOf(single));
    expect(await bench().sessions.open(single.jobId)).toEqual([]);
    expect(await bench().sessions.open(ulid())).toEqual([]);
  });

  it('closing the session of a single job makes its record; an unknown one is not found', async () => {
    const claim = await running(bench());
    expect(await bench().sessions.close(claim.jobId, ACT)).toEqual({ found: true, open: [claim.jobId] });
    expect(await session(claim.jobId)).toMatchObject({ status: 'closed', explicit: false, turns: 1 });
    expect(await bench().sessions.close(ulid(), ACT)).toEqual({ found: false, open: [] });
  });

  it('a session with an open turn is not removed; afterwards it is, with its stream', async () => {
    const id = await made();
    const jobId = await turn(id);
    expect(await bench().sessions.remove(id, ACT)).toBe(false);
    await bench().records.cancel(jobId, false, CANCELLED);
    expect(await bench().sessions.remove(id, ACT)).toBe(true);
    expect(await bench().sessions.read(id)).toBeNull();
    expect(await bench().sessions.entries(id, 0, 10)).toBeNull();
    expect(await bench().sessions.remove(id, ACT)).toBe(true);
  });

  it('the later jobs of a session that POST made run on its node', async () => {
    const id = await made();
    const first = await claimed(bench(), await turn(id));
    await bench()
      .claimsOf('n1')
      .finish(finishOf(first, { tail: [begun(id)] }));
    const second = await turn(id);
    expect(await bench().claimsOf('n2').claim(5)).toEqual([]);
    expect(await claimed(bench(), second)).toMatchObject({ jobId: second });
    expect(await bench().record(second)).toMatchObject({ pin: 'n1' });
  });

  it('events are read from any number on, in pages of any size, also while a turn grows', async () => {
    const id = await made();
    const claim = await claimed(bench(), await turn(id));
    for (let from = 0; from < 4; from += 1) {
      await bench()
        .claimsOf('n1')
        .append(claim.jobId, claim.executionId, from, [text(`t${from}`)]);
      if (from === 1) await turn(id);
    }
    const all = await bench().sessions.events(id, 0, 1000);
    for (let after = 0; after <= all.length; after += 1) {
      for (const limit of [1, 2, 3, 100]) {
        const page = await bench().sessions.events(id, after, limit);
        expect(page).toEqual(all.slice(after, after + limit));
      }
    }
  });

  it('its readers are rung for changes and for events of its jobs', async () => {
    const id = await made();
    const channel = bench().liveSession(id);
    await bench().follow(channel);
    const claim = await claimed(bench(), await turn(id));
    expect(
      await bench()
        .claimsOf('n1')
        .append(claim.jobId, claim.executionId, 0, [text('a')]),
    ).toBe('read');
    const { lastSeq } = await session(id);
    const seqs = (await bench().published(channel)).map(Number);
    expect(seqs.at(-1)).toBe(lastSeq);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
  });

  it('Redis keeps it while a turn is open, and a long time after', async () => {
    const id = await made();
    const claim = await claimed(bench(), await turn(id));
    await bench().advance(60 * 24 * KEEP_MS);
    expect(await session(id)).toMatchObject({ status: 'busy' });
    await bench().claimsOf('n1').finish(finishOf(claim));
    await bench().advance(29 * 24 * KEEP_MS);
    expect(await session(id)).toMatchObject({ status: 'ready' });
    await bench().advance(2 * 24 * KEEP_MS);
    expect(await bench().sessions.read(id)).toBeNull();
  });

  it('one that Redis has lost is restored with its stream and goes on with its numbers', async () => {
    const id = await made();
    const claim = await claimed(bench(), await turn(id));
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { tail: [begun(id)] }));
    const [before, entries] = [await session(id), await bench().sessions.entries(id, 0, 100)];
    const events: readonly SessionStoredEvent[] = await bench().sessions.events(id, 0, 100);
    await bench().loseSession(id);
    expect(await bench().sessions.read(id)).toBeNull();
    await bench().sessions.restore(before, entries ?? []);
    expect(await session(id)).toEqual({ ...before, rev: before.rev + 1 });
    expect(await bench().sessions.events(id, 0, 100)).toEqual(events);
    await turn(id);
    expect((await story(id)).slice(events.length)).toEqual(['job.queued', 'busy']);
    await bench().sessions.restore(before, entries ?? []);
    expect(await session(id)).toMatchObject({ turns: 2 });
  });

  it('a second turn makes the record with the options of the first, whatever its texts are', async () => {
    const nested = JSON.parse(`${'{"a":'.repeat(1500)}1${'}'.repeat(1500)}`);
    const options = { permissionMode: 'plan' as const, disallowedTools: ['Bash'], model: 'opus' };
    const texts = { prompt: 'half \ud83d', metadata: { '\ude00': '\\ud83d \ud83d' } };
    for (const request of [texts, { outputSchema: nested }]) {
      const first = await create(bench(), { ...options, ...request, appendSystemPrompt: 'x\udc00y' });
      await turn(first);
      const record = await session(first);
      expect(record.options).toMatchObject({
        ...options,
        appendSystemPrompt: 'x\ufffdy',
        provider: 'claude',
      });
      expect(Object.keys(record.options)).not.toContain('prompt');
    }
    const job = await bench().record(await create(bench(), texts));
    expect(job.request).toMatchObject({ prompt: 'half \ufffd', metadata: { '\ufffd': '\\ud83d \ufffd' } });
  });

  it('a damaged record is reported, hinders no job, and its stream is not lost', async () => {
    const id = await made();
    await bench().forgeSession(id, 'seq', 'many');
    await expect(bench().sessions.read(id)).rejects.toMatchObject({ code: 'record.damaged' });
    const claim = await claimed(bench(), await turn(id));
    await bench().claimsOf('n1').finish(finishOf(claim));
    expect(await story(id)).toEqual([
      ...['ready', 'job.queued', 'busy', 'job.running', 'execution.finished', 'job.finished', 'ready'],
    ]);
    const other = await made();
    await bench().forgeSession(other, 'status', 'odd');
    await expect(bench().sessions.read(other)).rejects.toMatchObject({ code: 'record.damaged' });
    await claimed(bench(), await turn(other));
    const third = await made();
    await bench().replaceSession(third, 'no hash');
    await expect(bench().sessions.read(third)).rejects.toMatchObject({ code: 'record.damaged' });
    await claimed(bench(), await turn(third));
    expect(await session(third)).toMatchObject({ status: 'busy', turns: 1 });
  });

  it('with a signing secret, what another client of Redis has changed of it does not count', async () => {
    const on = await signedBench();
    const fork = { sessionId: ulid(), nativeSessionId: 'n' };
    const made = newSession({ fork });
    await on.sessions.create(made);
    expect(await on.sessions.read(made.id)).toMatchObject({ signed: true, options: made.options, fork });
    const options = JSON.stringify({ ...made.options, permissionMode: 'fullAccess' });
    await on.forgeSession(made.id, 'options', options);
    expect(await on.sessions.read(made.id)).toMatchObject({ signed: false, fork: null });
    await on.forgeSession(made.id, 'rules', '[["Bash","x"]]');
    expect(await on.sessions.read(made.id)).toMatchObject({ rules: [] });

    const first = await create(on);
    await create(on, { sessionId: first });
    expect(await on.sessions.read(first)).toMatchObject({ signed: false, turns: 2 }); // a script made it
    const other = newSession({ id: ulid() });
    const record = await on.sessions.read(first);
    if (record !== null) await on.sessions.restore({ ...record, id: other.id }, []);
    expect(await on.sessions.read(other.id)).toMatchObject({ signed: true, turns: 2 });
  });
}
