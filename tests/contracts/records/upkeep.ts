import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import { LEADER_MS, LEASE_MS, LOST_BACKOFF_MS } from '../../helpers/redis-records.ts';
import type { Bench } from './bench.ts';
import {
  CANCELLED,
  create,
  EARLY,
  failed,
  finishOf,
  LOST,
  newJob,
  openNode,
  running,
  submitted,
  UNAVAILABLE,
  WAITS,
} from './samples.ts';

const ABSENT_MS = 600_000;
const AGAIN_MS = 2000;

export function upkeep(bench: () => Bench): void {
  const sweep = (limit = 10) => bench().upkeepOf('n1').sweep(AGAIN_MS, limit);
  const settleLost = (by = 'n2') => bench().upkeepOf(by).settleLost(ABSENT_MS, LOST, UNAVAILABLE);

  it('what was let through and not delivered is named until it is submitted', async () => {
    const id = await create(bench());
    expect(await sweep()).toEqual({ deliver: [], remove: [] });
    expect((await bench().claimOnce('n1', 1)).given).toEqual([id]);
    expect(await sweep()).toEqual({ deliver: [], remove: [] });
    await bench().advance(AGAIN_MS);
    expect(await sweep()).toEqual({ deliver: [id], remove: [] });
    expect(await sweep()).toEqual({ deliver: [], remove: [] });
    await bench().advance(AGAIN_MS);
    expect(await sweep()).toEqual({ deliver: [id], remove: [] });
    await bench().submissions.submit(id, ulid());
    await bench().advance(AGAIN_MS);
    expect(await sweep()).toEqual({ deliver: [], remove: [] });
  });

  it('what ended before it ran is named until its entry is removed', async () => {
    const id = await create(bench());
    await bench().records.cancel(id, false, CANCELLED);
    await running(bench()).then((claim) => bench().claimsOf('n1').finish(finishOf(claim)));
    await bench().advance(AGAIN_MS);
    expect(await sweep()).toEqual({ deliver: [], remove: [id] });
    await bench().upkeepOf('n1').removed([]);
    await bench().upkeepOf('n1').removed([id]);
    await bench().advance(AGAIN_MS);
    expect(await sweep()).toEqual({ deliver: [], remove: [] });
  });

  it('a delayed job and one in backoff are ready when they are due, also without a delivery', async () => {
    const claim = await running(bench(), { maxAttempts: 2 });
    const outcome = failed(claim.executionId, 'execution.overloaded');
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome, backoffMs: 120_000 }));
    const delayed = await create(bench(), { delayMs: 240_000 });
    const ready = async (): Promise<readonly string[]> => {
      await sweep();
      return (await bench().claimsOf('n1').claim(5)).map(({ jobId }) => jobId);
    };
    expect(await ready()).toEqual([]);
    await bench().advance(120_000);
    expect(await ready()).toEqual([claim.jobId]);
    await bench().advance(120_000);
    expect(await ready()).toEqual([delayed]);
    expect(await bench().kinds(delayed)).toEqual(['job.scheduled', 'job.queued', 'job.running']);
  });

  it('what a silent node was given and has not claimed goes to another one', async () => {
    const id = await create(bench());
    await bench().claimOnce('n1', 1);
    await bench().submissions.submit(id, ulid());
    await sweep();
    expect(await bench().claimOnce('n2', 1)).toEqual({ claims: [], given: [] });
    await bench().advance(60_000);
    const lone = await create(bench(), {}, { delivered: true });
    expect(await bench().submissions.submit(lone, ulid())).toEqual(WAITS);
    await sweep();
    expect((await bench().claimOnce('n2', 2)).given).toEqual([id, lone]);
    expect(await bench().claimOnce('n1', 2)).toEqual({ claims: [], given: [] });
  });

  it('a parked job whose predecessor has vanished is ready after a while', async () => {
    await bench().records.cancel('none', false, CANCELLED);
    const first = await create(bench(), { concurrencyKey: 'k' });
    const second = await create(bench(), { concurrencyKey: 'k' });
    await bench().loseRecord(first);
    await bench().advance(60_000);
    await sweep();
    expect((await bench().claimOnce('n1', 5)).given).toEqual([second]);
  });

  it('no more than the limit are named, the longest waiting first', async () => {
    const all: string[] = [];
    for (let i = 0; i < 3; i += 1) all.push(await create(bench()));
    await bench().claimOnce('n1', 3);
    await bench().advance(AGAIN_MS);
    const [first, second] = [await sweep(2), await sweep(2)];
    expect([first.deliver.length, second.deliver.length]).toEqual([2, 1]);
    expect([...first.deliver, ...second.deliver].sort()).toEqual([...all].sort());
  });

  it('a job that waits longer than its ttl ends, queued or scheduled', async () => {
    const claim = await running(bench(), { ttlMs: 60_000 });
    const queued = await create(bench(), { ttlMs: 60_000 });
    const delayed = await create(bench(), { ttlMs: 60_000, delayMs: 120_000 });
    const patient = await create(bench());
    const expire = async () => [...(await bench().upkeepOf('n1').expire(CANCELLED, 10))].sort();
    expect(await expire()).toEqual([]);
    await bench().advance(90_000);
    expect(await expire()).toEqual([queued]);
    await bench().advance(120_000);
    expect(await expire()).toEqual([delayed]);
    expect(await bench().record(queued)).toMatchObject({ status: 'failed', outcome: CANCELLED, attempt: 0 });
    expect((await bench().record(claim.jobId)).status).toBe('running');
    expect((await bench().record(patient)).status).toBe('queued');
    expect(await bench().kinds(delayed)).toEqual(['job.scheduled', 'job.finished']);
  });

  it('no more than the limit expire at once, the longest expired first', async () => {
    const second = await create(bench(), { ttlMs: 50_000 });
    const first = await create(bench(), { ttlMs: 10_000 });
    await bench().advance(90_000);
    expect(await bench().upkeepOf('n1').expire(CANCELLED, 1)).toEqual([first]);
    expect(await bench().upkeepOf('n1').expire(CANCELLED, 1)).toEqual([second]);
  });

  it("a silent node's executions end as lost, with the id of each", async () => {
    const claim = await running(bench());
    await bench().claimsOf('n1').renew([claim]);
    const other = await running(bench(), {}, 'n2');
    await bench().advance(ABSENT_MS + 60_000);
    await bench().claimsOf('n2').renew([other]);
    expect(await settleLost()).toEqual([claim.jobId]);
    const outcome = { ...LOST, executionId: claim.executionId };
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'failed', outcome });
    expect((await bench().records.events(claim.jobId, 2, 10))[0]).toMatchObject({
      kind: 'execution.finished',
      executionId: claim.executionId,
      outcome,
    });
    expect((await bench().record(other.jobId)).status).toBe('running');
    expect(await bench().upkeepOf('n2').counts()).toMatchObject({ nodes: 1, running: 1 });
    expect(await settleLost()).toEqual([]);
    expect(await bench().claimsOf('n1').renew([claim])).toEqual(['lost']);
  });

  it('a lost execution is tried again where the caller asked for it', async () => {
    const claim = await running(bench(), { maxAttempts: 2 });
    await bench().claimsOf('n1').renew([claim]);
    await bench().advance(ABSENT_MS + 60_000);
    expect(await settleLost()).toEqual([claim.jobId]);
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'scheduled', waitReason: 'backoff' });
    await bench().advance(LOST_BACKOFF_MS - 60_000);
    expect(await bench().submissions.submit(claim.jobId, 'e2')).toEqual(EARLY);
    await bench().advance(120_000);
    await openNode(bench(), 'n2');
    expect(await bench().submissions.submit(claim.jobId, 'e2')).toEqual({ kind: 'underway' });
  });

  it('a node that was silent for less, or whose leases hold, loses nothing', async () => {
    const claim = await running(bench());
    await bench().claimsOf('n1').renew([claim]);
    await bench().advance(ABSENT_MS - 60_000);
    expect(await settleLost()).toEqual([]);
    expect((await bench().record(claim.jobId)).status).toBe('running');
  });

  it('a node is not forgotten before its last lease is over', async () => {
    const claim = await running(bench());
    await bench().claimsOf('n1').renew([claim]);
    await bench().advance(LEASE_MS / 2);
    const impatient = (): Promise<readonly string[]> =>
      bench().upkeepOf('n2').settleLost(1000, LOST, UNAVAILABLE);
    expect(await impatient()).toEqual([]);
    await bench().advance(LEASE_MS);
    expect(await impatient()).toEqual([claim.jobId]);
    expect(await bench().upkeepOf('n2').counts()).toMatchObject({ nodes: 0 });
  });

  it('what only a silent node may run ends as unavailable', async () => {
    await bench().claimsOf('n1').renew([]);
    const pinned = await submitted(bench(), {}, { pin: 'n1' });
    const anywhere = await submitted(bench());
    await bench().advance(ABSENT_MS + 60_000);
    await bench().claimsOf('n3').renew([]);
    const elsewhere = await submitted(bench(), {}, { pin: 'n3' });
    expect(await settleLost()).toEqual([pinned]);
    expect(await bench().record(pinned)).toMatchObject({
      status: 'failed',
      outcome: UNAVAILABLE,
      attempt: 0,
    });
    for (const id of [elsewhere, anywhere]) expect((await bench().record(id)).status).toBe('queued');
  });

  it('what only a node may run that left, or never was, ends as unavailable when it does not come in time', async () => {
    await bench().claimsOf('n1').renew([]);
    await bench().upkeepOf('n1').leave();
    const left = await submitted(bench(), {}, { pin: 'n1' });
    const never = await submitted(bench(), {}, { pin: 'n3' });
    await bench().advance(ABSENT_MS - 60_000);
    expect(await settleLost()).toEqual([]);
    const late = await submitted(bench(), {}, { pin: 'n1' });
    await bench().advance(120_000);
    expect([...(await settleLost())].sort()).toEqual([left, never].sort());
    expect((await bench().record(late)).status).toBe('queued');
    await bench().claimsOf('n1').renew([]);
    await bench().advance(ABSENT_MS - 60_000);
    expect(await settleLost()).toEqual([]);
    expect(await bench().claimsOf('n1').claim(5)).toMatchObject([{ jobId: late }]);
  });

  it('what has waited for its node for long waits as long again when that leaves', async () => {
    await bench().claimsOf('n1').renew([]);
    const pinned = await submitted(bench(), {}, { pin: 'n1' });
    await bench().advance(ABSENT_MS + 60_000);
    await bench().claimsOf('n1').renew([]);
    await bench().upkeepOf('n1').leave();
    await bench().advance(ABSENT_MS - 60_000);
    expect(await settleLost()).toEqual([]);
    await bench().advance(120_000);
    expect(await settleLost()).toEqual([pinned]);
  });

  it('a node that left is not waited for, and comes back with its next heartbeat', async () => {
    await bench().claimsOf('n1').renew([]);
    await bench().upkeepOf('n1').leave();
    expect(await bench().upkeepOf('n2').counts()).toMatchObject({ nodes: 0 });
    await bench().claimsOf('n1').renew([]);
    expect(await bench().upkeepOf('n2').counts()).toMatchObject({ nodes: 1 });
  });

  it('counts tell what is pending, parked, scheduled and running, and how many nodes there are', async () => {
    const counts = () => bench().upkeepOf('n1').counts();
    expect(await counts()).toEqual({
      pending: 0,
      parked: 0,
      scheduled: 0,
      running: 0,
      nodes: 0,
      approvals: 0,
    });
    await running(bench());
    await openNode(bench(), 'n1', 1);
    await create(bench(), { delayMs: 60_000 });
    await create(bench(), { concurrencyKey: 'k' });
    await create(bench(), { concurrencyKey: 'k' });
    await create(bench(), {}, { pin: 'n1' });
    await create(bench(), {}, { pin: 'n2' });
    expect(await counts()).toEqual({
      pending: 3,
      parked: 1,
      scheduled: 1,
      running: 1,
      nodes: 1,
      approvals: 0,
    });
  });

  it('a raw request becomes a job that is pending at once', async () => {
    const job = newJob({ prompt: 'raw' }, { kind: 'raw', principal: 'raw' });
    expect(await bench().claimsOf('n1').adopt(job, 'e1')).toBe(true);
    expect(await bench().record(job.id)).toMatchObject({
      kind: 'raw',
      principal: 'raw',
      status: 'queued',
      executionId: 'e1',
      createdAt: job.createdAt,
      rev: 1,
    });
    const bells = (await bench().published(bench().requestChannel)).map((message) => JSON.parse(message));
    expect(bells).toEqual([{ v: 1, type: 'run', jobId: job.id }]);
    const [claim] = await bench().claimsOf('n1').claim(1);
    expect(claim).toMatchObject({ jobId: job.id, kind: 'raw', executionId: 'e1', attempt: 1 });
    const rawAnswer = '{"id":7,"success":true,"result":"ok"}';
    if (claim !== undefined) await bench().claimsOf('n1').finish(finishOf(claim, { rawAnswer }));
    expect(await bench().kinds(job.id)).toEqual([
      'job.queued',
      'job.running',
      'execution.finished',
      'job.finished',
    ]);
    expect(await bench().published(bench().responseChannel)).toContain(rawAnswer);
  });

  it('one node answers raw requests; another one when that is silent or has left', async () => {
    const adopt = (node: string): Promise<boolean> =>
      bench()
        .claimsOf(node)
        .adopt(newJob({}, { kind: 'raw', principal: 'raw' }), ulid());
    await bench().claimsOf('n1').renew([]);
    expect(await adopt('n1')).toBe(true);
    expect(await adopt('n2')).toBe(false);
    expect(await adopt('n1')).toBe(true);
    await bench().advance(LEADER_MS + 60_000);
    await bench().claimsOf('n2').renew([]);
    expect(await adopt('n2')).toBe(true);
    await bench().claimsOf('n1').renew([]);
    expect(await adopt('n1')).toBe(false);
    await bench().upkeepOf('n2').leave();
    expect(await adopt('n1')).toBe(true);
  });
}
