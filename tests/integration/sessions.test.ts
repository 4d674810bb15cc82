/** Sessions over HTTP, on a real server with scripted CLIs. */
import { describe, expect, it } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import type { SessionStoredEvent } from '../../src/protocol/event.ts';
import { eventually } from '../helpers/eventually.ts';
import { isAlive } from '../helpers/proc.ts';
import type { TestServer } from '../helpers/server.ts';
import { type FakeClis, sharedBench } from './fault-bench.ts';

const SLOW = { timeout: 120_000 };
const WAIT_MS = 30_000;

const QUICK = { BULLPEN_KILL_GRACE_MS: '500' };
const system = sharedBench({ ...QUICK, BULLPEN_MAX_SESSIONS: '2' });
const warm = sharedBench({ ...QUICK, BULLPEN_WARM_PROCESSES: '2' });

/** The events of a session up to a change of its status. */
async function until(
  { client }: Awaited<ReturnType<typeof system>>,
  id: string,
  status: string,
  after = 0,
): Promise<readonly SessionStoredEvent[]> {
  const events: SessionStoredEvent[] = [];
  for await (const event of client.sessions.events(id, { after, signal: AbortSignal.timeout(WAIT_MS) })) {
    events.push(event);
    if (event.kind === 'session.status' && event.status === status) return events;
  }
  return expect.unreachable();
}

describe('a session', () => {
  it('is in the changes of the server from its making to its deletion', SLOW, async () => {
    const { client } = await system();
    const leaving = new AbortController();
    const all: string[] = [];
    const reading = (async () => {
      for await (const change of client.changes({ after: '0', signal: leaving.signal }))
        if (change.kind === 'session.changed')
          all.push(`${change.sessionKind} ${change.sessionId} ${change.status}`);
    })().catch(() => undefined);
    const { id } = await client.sessions.create({ prompt: 'one' });
    const seen = () => all.filter((change) => change.includes(id));
    await client.sessions.get(id, { waitMs: WAIT_MS });
    await client.sessions.close(id);
    await client.sessions.remove(id);
    await eventually(() => seen().at(-1) === `chat ${id} deleted`, { timeoutMs: WAIT_MS });
    const statuses = ['starting', 'busy', 'ready', 'closed', 'deleted'];
    expect([...new Set(seen())]).toEqual(statuses.map((status) => `chat ${id} ${status}`));
    leaving.abort();
    await reading;
  });

  it('goes on over its turns, with one stream, and shows what they came to', SLOW, async () => {
    const set = await warm();
    const { sessions } = set.client;
    const made = await sessions.create({ name: 'notes', prompt: 'one', tags: ['a'] });
    expect(made).toMatchObject({ name: 'notes', kind: 'chat', tags: ['a'], closedAt: null });
    const first = await sessions.get(made.id, { waitMs: WAIT_MS });
    expect(first).toMatchObject({ status: 'ready', statusReason: null, turns: 1 });
    expect([first.nativeSessionId, first.node]).toEqual([expect.any(String), expect.any(String)]);

    const job = await sessions.message(made.id, { prompt: 'two' });
    expect(job.sessionId).toBe(made.id);
    await set.client.get(job.id, { waitMs: WAIT_MS });
    await eventually(async () => (await sessions.get(made.id)).status === 'ready');
    const { data: turns } = await sessions.turns(made.id);
    expect(turns.map(({ turn, prompt, status }) => [turn, prompt, status])).toEqual([
      [1, 'one', 'succeeded'],
      [2, 'two', 'succeeded'],
    ]);
    expect(turns[1]).toMatchObject({ jobId: job.id, outcome: { nativeSessionId: first.nativeSessionId } });
    const shown = await sessions.get(made.id);
    expect(shown.turns).toBe(2);
    expect(shown.usage?.inputTokens).toBeGreaterThan(0);

    const all: SessionStoredEvent[] = [];
    for await (const event of sessions.events(made.id, { signal: AbortSignal.timeout(WAIT_MS) })) {
      all.push(event);
      if (all.filter(({ kind }) => kind === 'job.finished').length === 2 && event.kind === 'session.status')
        break;
    }
    expect(all.map(({ seq }) => seq)).toEqual(all.map((_, index) => index + 1));
    const finished = all.flatMap((event) => (event.kind === 'job.finished' ? [event.job] : []));
    expect(finished).toMatchObject([
      { prompt: 'one', finished: true },
      { prompt: 'two', finished: true },
    ]);
    const middle = all[Math.floor(all.length / 2)];
    const rest = await until(set, made.id, 'ready', middle?.seq ?? 0);
    expect(rest[0]?.seq).toBe((middle?.seq ?? 0) + 1);
    expect((await sessions.list({ q: 'notes', tag: ['a'] })).data.map(({ id }) => id)).toEqual([made.id]);
    expect((await sessions.list({ status: ['busy'] })).data).toEqual([]);

    // Its process waits for the next turn, until the session is closed.
    const { pid } = await eventually(async () => (await sessions.get(made.id)).process);
    expect(isAlive(pid)).toBe(true);
    expect((await sessions.close(made.id)).process).toBeNull();
    await eventually(() => !isAlive(pid));
  });

  it('of a single job is found by its id, listed on request, and goes on', SLOW, async () => {
    const { server, client } = await system();
    const job = await server.run({ prompt: 'alone' }, 30);
    const { sessionId: id } = job;
    expect(await client.sessions.get(id)).toMatchObject({ id, status: 'ready', turns: 1, cwd: job.cwd });
    const isListed = async (all: boolean) =>
      (await client.sessions.list({ all })).data.some((one) => one.id === id);
    expect([await isListed(false), await isListed(true)]).toEqual([false, true]);
    const events: number[] = [];
    for await (const { seq, kind } of client.sessions.events(id, { signal: AbortSignal.timeout(WAIT_MS) })) {
      events.push(seq);
      if (kind === 'job.finished') break;
    }
    const next = await client.message(job.id, { prompt: 'x' }).catch((error) => error.code);
    expect(next).toBe('job.already_finished');
    const turn = await client.sessions.message(id, { prompt: 'again' });
    await client.get(turn.id, { waitMs: WAIT_MS });
    expect(await isListed(false)).toBe(true);
    const later = await until(
      { server, client } as Awaited<ReturnType<typeof system>>,
      id,
      'ready',
      events.length,
    );
    // What its first job had keeps its numbers.
    expect(later[0]?.seq).toBe(events.length + 1);
  });

  it('is made once, with one first turn, for each Idempotency-Key', SLOW, async () => {
    const { client } = await system();
    const ask = (prompt: string) => client.sessions.create({ prompt }, { idempotencyKey: 'k' });
    const made = await Promise.all([ask('one'), ask('one'), ask('one')]);
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    const id = made[0]?.id ?? '';
    await expect(ask('two')).rejects.toMatchObject({ code: 'idempotency.key_reused' });
    await client.sessions.get(id, { waitMs: WAIT_MS });
    expect((await client.sessions.turns(id)).data).toHaveLength(1);
    await client.sessions.close(id);
    expect((await ask('one')).id).toBe(id); // what is known has its answer, whatever came since
    await client.sessions.remove(id);
    expect((await ask('one')).id).not.toBe(id);
  });

  it('that is refused leaves nothing behind', SLOW, async () => {
    const { client } = await system();
    const ids = async () => (await client.sessions.list({ all: true })).data.map(({ id }) => id);
    const before = await ids();
    const refusals = [
      [{ provider: 'none' }, 'provider.unknown'],
      [{ cwd: '/' }, 'cwd.not_allowed'],
      [{ permissionMode: 'fullAccess' }, 'permission_mode.denied'],
      [{ provider: 'echo' }, 'provider.unsupported_option'], // it keeps no session
    ] as const;
    for (const [request, code] of refusals)
      for (const prompt of [{}, { prompt: 'x' }])
        await expect(client.sessions.create({ ...request, ...prompt })).rejects.toMatchObject({ code });
    await expect(client.sessions.create({ kind: 'terminal', command: 'bash' })).rejects.toMatchObject({
      ...{ status: 403, code: 'terminal.disabled' },
    });
    expect(await ids()).toEqual(before);
    const ID = '01K9ZV4Q5A3C5E7G9J1M3P5R7T';
    await expect(client.sessions.message(ID, { prompt: 'x' })).rejects.toMatchObject({
      code: 'session.not_found',
    });
    await expect(client.create({ prompt: 'x', sessionId: ID })).rejects.toMatchObject({
      code: 'session.not_found',
    });
  });
});

it(
  'what an admin adds to a session or makes of it belongs to its project, which can end and delete it',
  SLOW,
  async () => {
    const { clis, server, client } = await system();
    const scopes = ['jobs:write', 'sessions:write'] as const;
    const { token } = await client.createKey({ name: 'web', project: 'web', scopes: [...scopes] });
    const web = createClient({ url: server.url, token: token ?? '' });
    const { id } = await web.sessions.create({ prompt: 'one' });
    await web.sessions.get(id, { waitMs: WAIT_MS });
    const fork = await client.sessions.fork(id);
    expect(await web.sessions.close(fork.id)).toMatchObject({ project: 'web' });
    const alone = await web.create({ prompt: 'alone' });
    await web.get(alone.id, { waitMs: WAIT_MS });
    const retry = await client.retry(alone.id, { from: 'start' });
    expect(await web.get(retry.id)).toMatchObject({ project: 'web', principal: 'admin' });
    const job = await client.sessions.message(id, { prompt: clis.held('admin', 'two') });
    expect(job).toMatchObject({ project: 'web', principal: 'admin' });
    await web.sessions.close(id);
    expect(await web.get(job.id, { waitMs: WAIT_MS })).toMatchObject({ status: 'cancelled' });
    await web.sessions.remove(id);
    await expect(client.get(job.id)).rejects.toMatchObject({ code: 'job.not_found' });
  },
);

describe('a running turn', () => {
  async function running(clis: FakeClis, server: TestServer, client: ReturnType<typeof createClient>) {
    const { id } = await client.sessions.create({ prompt: clis.held('go', 'working') });
    await eventually(async () => (await client.sessions.get(id)).status === 'busy' && clis.prompted() > 0);
    const [turn] = (await client.sessions.turns(id)).data;
    return { id, jobId: turn?.jobId ?? expect.unreachable(), server };
  }

  it('is interrupted, and the next turn goes on', SLOW, async () => {
    const { clis, server, client } = await system();
    const { id, jobId } = await running(clis, server, client);
    const next = await client.sessions.message(id, { prompt: 'instead', delivery: 'interrupt' });
    expect(await client.get(jobId, { waitMs: WAIT_MS })).toMatchObject({
      status: 'cancelled',
      outcome: { error: { code: 'execution.interrupted' } },
    });
    expect((await client.get(next.id, { waitMs: WAIT_MS })).status).toBe('succeeded');
    expect((await client.sessions.get(id, { waitMs: WAIT_MS })).status).toBe('ready');
  });

  it(
    'that is interrupted alone leaves the session interrupted, and without a turn nothing happens',
    SLOW,
    async () => {
      const { clis, server, client } = await system();
      const { id, jobId } = await running(clis, server, client);
      await client.sessions.interrupt(id);
      await client.get(jobId, { waitMs: WAIT_MS });
      const session = await client.sessions.get(id, { until: 'interrupted', waitMs: WAIT_MS });
      expect(session).toMatchObject({ status: 'interrupted', statusReason: 'execution.interrupted' });
      expect((await client.sessions.interrupt(id)).status).toBe('interrupted');
    },
  );

  it('keeps the session from deletion; a close ends it for good', SLOW, async () => {
    const { clis, server, client } = await system();
    const { id, jobId } = await running(clis, server, client);
    await expect(client.sessions.remove(id)).rejects.toMatchObject({ code: 'session.not_finished' });
    expect((await client.sessions.get(id)).process).toEqual({
      pid: expect.any(Number),
      since: expect.any(String),
    });
    const closed = await client.sessions.close(id);
    expect([closed.status, closed.closedAt]).toEqual(['closed', expect.any(String)]);
    expect((await client.get(jobId, { waitMs: WAIT_MS })).status).toBe('cancelled');
    await expect(client.sessions.message(id, { prompt: 'x' })).rejects.toMatchObject({
      code: 'session.closed',
    });
    await expect(client.sessions.steer(id, 'x')).rejects.toMatchObject({ code: 'session.closed' });
    await expect(client.create({ prompt: 'x', sessionId: id })).rejects.toMatchObject({
      code: 'session.closed',
    });
    expect((await client.sessions.close(id)).status).toBe('closed');
    const { costUsd } = (await client.usage({})).data[0] ?? {};
    await client.sessions.remove(id);
    for (const gone of [client.sessions.get(id), client.sessions.close(id)])
      await expect(gone).rejects.toMatchObject({ code: 'session.not_found' });
    await expect(client.get(jobId)).rejects.toMatchObject({ code: 'job.not_found' });
    expect((await client.usage({})).data[0]?.costUsd).toBe(costUsd);
  });

  it('a session that is deleted right after its use does not come back', SLOW, async () => {
    const { client } = await system();
    const { id } = await client.sessions.create({});
    for (const prompt of ['one', 'two']) {
      const { id: jobId } = await client.sessions.message(id, { prompt });
      await client.get(jobId, { waitMs: WAIT_MS });
    }
    await client.sessions.close(id);
    await client.sessions.remove(id);
    const idempotencyKey = 'deleted-session';
    for (const options of [{}, { idempotencyKey }])
      await expect(client.create({ prompt: 'x', sessionId: id }, options)).rejects.toMatchObject({
        ...{ status: 404, code: 'session.not_found' },
      });
    await expect(client.sessions.get(id)).rejects.toMatchObject({ code: 'session.not_found' });
  });
});

describe('the limit of sessions', () => {
  it('counts those with an open turn, names what to close, and leaves jobs alone', SLOW, async () => {
    const { clis, client } = await system();
    const made = [];
    for (const name of ['first', 'second'])
      made.push(await client.sessions.create({ name, prompt: clis.held('go', name) }));
    const refused = await client.sessions.create({}).catch((error) => error);
    expect([refused.status, refused.code]).toEqual([429, 'limit.sessions']);
    for (const { id, name } of made) expect(refused.detail).toMatch(new RegExp(`${id} \\(${name}, `));
    await client.create({ prompt: 'a job' });
    await client.sessions.close(made[0]?.id ?? '');
    await eventually(async () => (await client.sessions.create({})).status === 'ready');
    // Sessions without a turn use nothing.
    for (let i = 0; i < 3; i += 1) await client.sessions.create({});
    clis.open('go');
    await client.sessions.get(made[1]?.id ?? '', { waitMs: WAIT_MS });
  });

  it('names no session of another project', SLOW, async () => {
    const { clis, server, client } = await system();
    const prompt = clis.held('go', 'secret');
    const [{ id }] = [await client.sessions.create({ prompt }), await client.sessions.create({ prompt })];
    const key = await client.createKey({ name: 'x', project: 'ops', scopes: ['sessions:write'] });
    const other = createClient({ url: server.url, token: key.token ?? '' });
    const refused = await other.sessions.create({}).catch((error) => error);
    expect([refused.code, refused.detail.includes(id)]).toEqual(['limit.sessions', false]);
    await expect(other.sessions.get(id)).rejects.toMatchObject({ code: 'session.not_found' });
    expect((await other.sessions.list({ all: true })).data).toEqual([]);
    clis.open('go');
  });
});
