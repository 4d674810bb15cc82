import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import type { KeyRecord } from '../../../src/auth/ports.ts';
import { type CallerLimits, NO_LIMITS } from '../../../src/protocol/grant.ts';
import { LOG_START } from '../../../src/records/change-log.ts';
import type { Claim, NewJob, TimedEvent } from '../../../src/records/ports.ts';
import type { Bench } from './bench.ts';
import { CANCELLED, CREATED_AT, finishOf, newJob, succeeded } from './samples.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Limits of the settings: CALLER_LIMITS of tests/helpers/redis-records.ts. */
export function limiting(bench: () => Bench): void {
  let revision = 0;
  const make = (project: string, rest: Partial<NewJob> = {}, request: Parameters<typeof newJob>[0] = {}) =>
    bench().records.create(newJob(request, { project, limited: true, ...rest }));
  const made = async (project: string, rest: Partial<NewJob> = {}): Promise<string> => {
    const job = newJob({}, { project, limited: true, ...rest });
    expect(await bench().records.create(job)).toMatchObject({ kind: 'created' });
    return job.id;
  };
  const claim = async (node = 'n1') => bench().claimsOf(node).claim(10);
  const claimedIds = async (node = 'n1') => (await claim(node)).map(({ jobId }) => jobId);

  /** A key with limits, as the record of its principal says. */
  async function key(limits: Partial<CallerLimits>, id = ulid()): Promise<string> {
    revision += 1;
    const record: KeyRecord = {
      ...{ id, rev: revision, generation: 1, name: 'ci', project: 'web', scopes: ['jobs:write'] },
      ...{ digest: 'a'.repeat(64), createdAt: CREATED_AT, createdBy: 'admin', expiresAt: null },
      ...{ revokedAt: null, limits: { ...NO_LIMITS, ...limits } },
    };
    await bench().keyRecords.put(record, null);
    return `key:${id}`;
  }

  const cost = (costUsd: number): TimedEvent => ({
    event: {
      kind: 'usage',
      usage: {
        ...{ inputTokens: 1, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0 },
        ...{ costUsd, costBasis: 'estimated' },
      },
    },
    raw: null,
    at: CREATED_AT,
  });
  async function start(project: string, rest: Partial<NewJob> = {}): Promise<Claim> {
    const id = await made(project, rest);
    const found = (await claim()).find(({ jobId }) => jobId === id);
    if (found === undefined) throw new Error('it was not claimed');
    return found;
  }
  const report = ({ jobId, executionId }: Claim, costUsd: number, from: number) =>
    bench()
      .claimsOf('n1')
      .append(jobId, executionId, from, [cost(costUsd)]);
  const finish = (one: Claim, costUsd: number | null) => {
    const { usage } = cost(costUsd ?? 0).event as Extract<TimedEvent['event'], { kind: 'usage' }>;
    const outcome = { ...succeeded(one.executionId), usage: costUsd === null ? null : usage };
    return bench().claimsOf('n1').finish(finishOf(one, { outcome }));
  };

  it('a project makes so many jobs an hour; a refused one, a replayed one and a damaged count change nothing', async () => {
    const idempotency = { key: 'k', fingerprint: 'f' };
    expect(await make('hourly', { idempotency })).toMatchObject({ rate: { limit: 3, remaining: 2 } });
    expect(await make('hourly', { idempotency })).toMatchObject({ kind: 'replayed' });
    expect(await make('hourly')).toMatchObject({ rate: { remaining: 1 } });
    await bench().advance(10 * MINUTE_MS);
    expect(await make('hourly')).toMatchObject({ kind: 'created', rate: { remaining: 0 } });
    const other = { idempotency: { key: 'l', fingerprint: 'f' } };
    const refused = await make('hourly', other);
    expect(refused).toMatchObject({
      ...{ kind: 'limited', limit: 'jobsPerHour', of: 'project' },
      rate: { limit: 3, remaining: 0 },
    });
    const { retryMs, rate } = refused as Extract<typeof refused, { kind: 'limited' }>;
    expect(retryMs).toBeGreaterThan(48 * MINUTE_MS);
    expect(retryMs).toBeLessThanOrEqual(50 * MINUTE_MS);
    expect(rate.resetMs).toBeGreaterThan(retryMs ?? 0);
    await bench().advance(50 * MINUTE_MS);
    expect(await make('hourly', other)).toMatchObject({ kind: 'created' });
    expect(await make('hourly')).toMatchObject({ kind: 'created', rate: { remaining: 0 } });
    expect(await make('hourly')).toMatchObject({ kind: 'limited' });
  });

  it('each principal with a JWT has its own count, and so has each key', async () => {
    for (const principal of ['jwt:ann', 'jwt:a|b', await key({ jobsPerHour: 2 })]) {
      expect(await make('web', { principal })).toMatchObject({ rate: { limit: 2, remaining: 1 } });
      await made('web', { principal });
      expect(await make('web', { principal })).toMatchObject({ kind: 'limited', of: 'principal' });
    }
    expect(await make('web')).toEqual({ kind: 'created' });
  });

  it('a key may be given other limits, or none', async () => {
    const id = ulid();
    const principal = await key({ jobsPerHour: 1 }, id);
    await made('web', { principal });
    expect(await make('web', { principal })).toMatchObject({ kind: 'limited' });
    await key({ jobsPerHour: 2 }, id);
    await made('web', { principal });
    await key({}, id);
    expect(await make('web', { principal })).toEqual({ kind: 'created' });
  });

  it('a message into a running turn counts as a job of its sender, once', async () => {
    const principal = await key({ jobsPerHour: 2 });
    const { jobId } = await start('web', { principal });
    const sender = { id: principal, project: 'web' };
    const send = (id: string, by = sender) => bench().messages.send(jobId, { id, text: 'x' }, by);
    expect([await send('a'), await send('a')]).toEqual(['sent', 'sent']);
    expect(await send('b')).toMatchObject({ kind: 'limited', limit: 'jobsPerHour', of: 'principal' });
    expect(await bench().messages.state(jobId, 'b')).toBe('gone');
    expect(await make('web', { principal })).toMatchObject({ kind: 'limited' });
    expect(await send('c', { id: 'admin', project: 'web' })).toBe('sent');
  });

  it('a batch counts its jobs, and is refused as a whole', async () => {
    const open = (count: number, given: { key: string; fingerprint: string } | null = null) =>
      bench().batches.open({
        ...{ id: ulid(), project: 'hourly', principal: 'alice', createdAt: CREATED_AT, idempotency: given },
        entries: Array.from({ length: count }, () => ({ id: ulid() })),
      });
    const idempotency = { key: 'k', fingerprint: 'f' };
    expect(await open(2, idempotency)).toMatchObject({ kind: 'created', rate: { remaining: 1 } });
    expect(await open(2, idempotency)).toMatchObject({ kind: 'replayed' });
    expect(await open(2)).toMatchObject({ kind: 'limited', limit: 'jobsPerHour', rate: { remaining: 1 } });
    expect(await open(4)).toMatchObject({ kind: 'limited', retryMs: HOUR_MS });
    expect(await open(1)).toMatchObject({ kind: 'created', rate: { remaining: 0 } });
    expect(await open(0)).toMatchObject({ kind: 'created' });
  });

  it('jobs that have not started are counted until they start or end, also those of a batch', async () => {
    const first = await made('short');
    await make('short', {}, { delayMs: HOUR_MS });
    expect(await make('short')).toMatchObject({
      ...{ kind: 'limited', limit: 'maxQueued', rate: { limit: 2, remaining: 0 }, retryMs: null },
    });
    expect(await claimedIds()).toEqual([first]);
    const second = await made('short');
    await bench().records.cancel(second, false, CANCELLED);
    const ids = [ulid(), ulid()];
    const batch = { id: ulid(), project: 'short', principal: 'alice', createdAt: CREATED_AT };
    const open = (entries: readonly string[]) =>
      bench().batches.open({ ...batch, entries: entries.map((id) => ({ id })), idempotency: null });
    expect(await open(ids)).toMatchObject({ kind: 'limited', rate: { remaining: 1 } });
    expect(await open(ids.slice(0, 1))).toEqual({ kind: 'created' });
    await bench().batches.add(batch.id, 0, [newJob({}, { id: ids[0] ?? '', project: 'short' })]);
    expect(await make('short')).toMatchObject({ kind: 'limited' });
    expect(await claimedIds()).toEqual([ids[0]]);
    await made('short');
  });

  it('a record that another program has removed does not count as queued for ever', async () => {
    for (const id of [await made('short'), await made('short')]) await bench().loseRecord(id);
    await made('short');
  });

  it('so many jobs of a project, and of a key, run at once; the next one starts when one has ended', async () => {
    for (const [project, principal] of [
      ['single', 'alice'],
      ['web', await key({ maxRunning: 1 })],
    ] as const) {
      const ids = [await made(project, { principal }), await made(project, { principal })];
      const other = await made('default');
      await bench().deliver([ids[1] ?? '', ids[0] ?? '']); // BullMQ may deliver in any order
      const claimed = await claim();
      const first = claimed.find(({ jobId }) => jobId !== other);
      expect(claimed.map(({ jobId }) => jobId).sort()).toEqual([first?.jobId, other].sort());
      expect(await claimedIds()).toEqual([]);
      expect(await claimedIds('n2')).toEqual([]);
      const before = (await bench().published(bench().requestChannel)).length;
      if (first !== undefined) await finish(first, null);
      const rung = (await bench().published(bench().requestChannel)).slice(before);
      expect(rung.some((message) => message.includes('"run"'))).toBe(true);
      expect(await claimedIds('n2')).toEqual(ids.filter((id) => id !== first?.jobId));
    }
  });

  it('a lone job of a limited caller starts only when CLAIM has counted', async () => {
    await bench().claimsOf('n1').renew([]);
    await bench().claimOnce('n1', 5);
    const id = await made('single');
    expect(await bench().submissions.submit(id, 'e1')).toMatchObject({ kind: 'later' });
    expect(await claimedIds()).toEqual([id]);
  });

  it('the day’s amount stops a run in the stream, refuses new jobs, and keeps those that wait until midnight', async () => {
    const [one, two] = [await start('poor'), await start('poor')];
    const waiting = await made('poor');
    expect(await report(one, 0.4, 0)).toBe('unread');
    expect(await report(two, 0.5, 0)).toBe('unread');
    expect(await report(one, 0.55, 1)).toBe('spent');
    expect(await bench().kinds(one.jobId)).toContain('usage');
    expect(await make('poor')).toMatchObject({ kind: 'limited', limit: 'usdPerDay', rate: { limit: 1 } });
    expect(await claimedIds()).toEqual([]);
    const midnight = Math.ceil((await bench().now()) / DAY_MS) * DAY_MS;
    expect((await bench().gates.inTheWay())?.budgets).toEqual({ poor: midnight });
    await bench().advance(DAY_MS);
    expect(await bench().gates.inTheWay()).toMatchObject({ budgets: {} });
    expect(await claimedIds()).toEqual([waiting]);
    expect(await make('poor')).toMatchObject({ kind: 'created' });
    const entries = await bench().changeLog.after(LOG_START, 100);
    expect(
      entries.flatMap(({ gate }) => (gate === null ? [] : [[gate.kind, gate.gate, gate.reason]])),
    ).toEqual([
      ['gate.closed', 'budget:poor', 'budget'],
      ['gate.opened', 'budget:poor', null],
    ]);
  });

  it('an amount that is spent after midnight keeps jobs waiting for that day, too', async () => {
    const [one, two] = [await start('poor'), await start('poor')];
    await made('poor');
    await finish(one, 1);
    await bench().advance(DAY_MS);
    await finish(two, 1.5);
    expect(await claimedIds()).toEqual([]);
    const midnight = Math.ceil((await bench().now()) / DAY_MS) * DAY_MS;
    expect((await bench().gates.inTheWay())?.budgets).toEqual({ poor: midnight });
  });

  it('the end of a run corrects what its stream has shown, and counts once', async () => {
    const [one, two] = [await start('poor'), await start('poor')];
    await report(one, 0.7, 0);
    for (const _ of ['first', 'again']) await finish(one, 0.5);
    expect(await report(two, 0.49, 0)).toBe('unread');
    await finish(two, 0.49);
    expect(await make('poor')).toMatchObject({ kind: 'created' });
    const [last] = await claim();
    if (last !== undefined) await finish(last, 0.02);
    expect(await make('poor')).toMatchObject({ kind: 'limited' });
  });

  it('a key that is given a larger amount goes on at once', async () => {
    const id = ulid();
    const principal = await key({ usdPerDay: 1 }, id);
    const one = await start('web', { principal });
    await finish(one, 2);
    expect(await make('web', { principal })).toMatchObject({ kind: 'limited', of: 'principal' });
    expect((await bench().gates.inTheWay())?.budgets).toHaveProperty([`web|${principal}`]);
    await key({ usdPerDay: 3 }, id);
    expect(await bench().gates.inTheWay()).toBeNull();
    await made('web', { principal });
    expect(await claim()).toHaveLength(1);
  });

  it('a job made from inside a job counts for the caller of that one, at any depth', async () => {
    const principal = await key({ jobsPerHour: 3, maxRunning: 2, usdPerDay: 1 });
    const parent = await start('web', { principal });
    const child = await start('web', { principal: `job:${parent.jobId}` });
    const grandchild = await made('web', { principal: `job:${child.jobId}` });
    expect(await claimedIds()).toEqual([]);
    expect(await make('web', { principal: `job:${grandchild}` })).toMatchObject({ kind: 'limited' });
    expect(await report(child, 1, 0)).toBe('spent');
    expect(await report(parent, 0.1, 0)).toBe('spent');
  });

  it('a job counts for its payer when the job that made it was deleted', async () => {
    const principal = await key({ maxRunning: 1 });
    const parent = await start('web', { principal });
    const child = { principal: `job:${parent.jobId}` };
    const ids = [await made('web', child), await made('web', child)];
    await finish(parent, null);
    const [running] = await claim();
    const waiting = ids.find((id) => id !== running?.jobId) ?? '';
    await bench().records.remove(parent.jobId);
    const before = await bench().record(waiting);
    for (const _ of ['first', 'again'])
      expect(await bench().claimOnce('n1', 5)).toEqual({ claims: [], given: [] });
    expect(await bench().record(waiting)).toEqual(before);
    if (running !== undefined) await finish(running, null);
    expect(await claimedIds()).toEqual([waiting]);
  });

  it('the jobs that jobs of a caller make have no turns of their own', async () => {
    const principal = await key({});
    const parent = await start('web', { principal });
    const children = [await made('web', { principal: `job:${parent.jobId}` })];
    const other = await made('web', { principal: 'bob' });
    children.push(await made('web', { principal: `job:${parent.jobId}` }));
    for (const id of [other, ...children])
      expect(await bench().claimsOf('n1').claim(1)).toMatchObject([{ jobId: id }]);
  });

  it('a job that is restored is not refused', async () => {
    for (let i = 0; i < 4; i += 1) await made('hourly', { limited: false });
  });

  it('requests are counted over a minute, of the caller and of its project', async () => {
    const take = (id: string, project: string) => bench().requestCounts.take({ id, project });
    expect(await take('alice', 'web')).toBeNull();
    const id = await key({ requestsPerMinute: 2 });
    expect(await take(id, 'busy')).toMatchObject({ kind: 'counted', rate: { limit: 2, remaining: 1 } });
    expect(await take('bob', 'busy')).toMatchObject({ rate: { limit: 3, remaining: 1 } });
    expect(await take(id, 'busy')).toMatchObject({ rate: { remaining: 0 } });
    expect(await take(id, 'busy')).toMatchObject({ kind: 'limited', of: 'project', rate: { limit: 3 } });
    expect(await take(id, 'web')).toMatchObject({ kind: 'counted' });
    await bench().advance(MINUTE_MS);
    expect(await take(id, 'busy')).toMatchObject({ kind: 'counted' });
  });

  it('counts that another program has damaged begin again', async () => {
    await bench().damageLimits(['rate:jobsPerHour:hourly', 'queued:short', 'limits']);
    await made('hourly');
    await made('short');
    await made('web', { principal: 'key:1' });
  });
}
