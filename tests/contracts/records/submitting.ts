import { expect, it } from 'vitest';
import type { Bench } from './bench.ts';
import {
  CANCELLED,
  create,
  EARLY,
  failed,
  finishOf,
  newJob,
  openNode,
  running,
  submitted,
  WAITS,
} from './samples.ts';

export function submitting(bench: () => Bench): void {
  const runBells = async (): Promise<readonly string[]> =>
    (await bench().published(bench().requestChannel)).map((message) => JSON.parse(message));

  it('jobs that a node cannot run now do not hold up a delivered one', async () => {
    await bench().claimsOf('n1').renew([]);
    await bench().claimOnce('n1', 5, { narrow: 0 });
    await create(bench(), { provider: 'narrow' });
    const first = await create(bench(), { provider: 'wide' });
    expect(await bench().submissions.submit(first, 'e1')).toEqual({ kind: 'underway' });
    const second = await create(bench(), { provider: 'wide' });
    await create(bench(), { provider: 'wide' });
    expect(await bench().submissions.submit(second, 'e2')).toEqual(WAITS);
  });

  it('a job is submitted to a node that has room, and the executors get a message', async () => {
    await openNode(bench());
    const id = await create(bench(), {}, { delivered: true });
    expect(await bench().submissions.submit(id, 'e1')).toEqual({ kind: 'underway' });
    expect(await bench().record(id)).toMatchObject({
      status: 'queued',
      executionId: 'e1',
      attempt: 0,
      rev: 2,
    });
    expect(await runBells()).toEqual([{ v: 1, type: 'run', jobId: id }]);
    expect(await bench().upkeepOf('n1').counts()).toMatchObject({ pending: 1 });
  });

  it('a job that no node has room for is given back, and the executors get a message', async () => {
    const id = await create(bench(), {}, { delivered: true });
    const before = await bench().record(id);
    expect(await bench().submissions.submit(id, 'e1')).toEqual(WAITS);
    await bench().claimsOf('n1').renew([]);
    expect(await bench().submissions.submit(id, 'e1')).toEqual(WAITS);
    expect(await bench().record(id)).toEqual(before);
    expect(await runBells()).toContainEqual({ v: 1, type: 'run', jobId: id });
  });

  it('a job does not pass others that wait', async () => {
    const first = await create(bench());
    const second = await create(bench());
    expect((await bench().claimOnce('n1', 1)).given).toEqual([first]);
    expect(await bench().submissions.submit(second, 'e2')).toEqual(WAITS);
    expect(await bench().submissions.submit(first, 'e1')).toEqual({ kind: 'underway' });
  });

  it('a node whose gate is closed is given nothing', async () => {
    await openNode(bench());
    const id = await create(bench(), {}, { delivered: true });
    for (const gate of ['queue', 'node:n1', 'provider:claude', 'project:default']) {
      await bench().closeGate(gate, null);
      expect(await bench().claimOnce('n1', 5), gate).toEqual({ claims: [], given: [] });
      expect(await bench().submissions.submit(id, 'e1'), gate).toEqual(WAITS);
      await bench().closeGate(gate, 1);
    }
    expect((await bench().claimOnce('n1', 5)).given).toEqual([id]);
    expect(await bench().submissions.submit(id, 'e1')).toEqual({ kind: 'underway' });
    await bench().closeGate('queue', null);
    expect(await bench().claimOnce('n1', 5)).toEqual({ claims: [], given: [] });
    expect(await bench().record(id)).toMatchObject({ status: 'queued', executionId: null });
  });

  it('a raw request waits for an open gate on its node', async () => {
    const raw = newJob({}, { kind: 'raw' });
    await bench().claimsOf('n1').adopt(raw, 'e1');
    await bench().closeGate('queue', null);
    expect(await bench().claimOnce('n1', 5)).toEqual({ claims: [], given: [] });
    await bench().closeGate('queue', 1);
    expect(await bench().claimOnce('n1', 5)).toMatchObject({ claims: [{ jobId: raw.id }] });
  });

  it('submitting again attaches: nothing changes and no message is sent', async () => {
    await openNode(bench());
    const id = await create(bench(), {}, { delivered: true });
    await bench().submissions.submit(id, 'e1');
    const before = await bench().record(id);
    expect(await bench().submissions.submit(id, 'e2')).toEqual({ kind: 'underway' });
    expect(await bench().record(id)).toEqual(before);
    expect(await runBells()).toHaveLength(1);
  });

  it('submitting a running job attaches to it', async () => {
    const { jobId, executionId } = await running(bench());
    expect(await bench().submissions.submit(jobId, 'other')).toEqual({ kind: 'underway' });
    expect((await bench().record(jobId)).executionId).toBe(executionId);
  });

  it('a job that is not there is gone', async () => {
    expect(await bench().submissions.submit('none', 'e1')).toEqual({ kind: 'gone' });
    expect(await bench().records.read('none')).toBeNull();
  });

  it('a finished job says how it ended', async () => {
    const { jobId, ...claim } = await running(bench());
    await bench()
      .claimsOf('n1')
      .finish(finishOf({ jobId, ...claim }));
    expect(await bench().submissions.submit(jobId, 'e2')).toEqual({ kind: 'finished', status: 'succeeded' });
    const cancelled = await create(bench());
    await bench().records.cancel(cancelled, false, CANCELLED);
    expect(await bench().submissions.submit(cancelled, 'e3')).toEqual({
      kind: 'finished',
      status: 'cancelled',
    });
  });

  it('a delayed job is early until its time has come, and says for how long', async () => {
    const id = await create(bench(), { delayMs: 90_000 });
    const early = await bench().submissions.submit(id, 'e1');
    expect(early).toEqual(EARLY);
    const afterMs = early.kind === 'later' ? (early.afterMs ?? 0) : 0;
    expect(afterMs).toBeGreaterThan(30_000);
    expect(afterMs).toBeLessThanOrEqual(90_000);
    expect(await bench().record(id)).toMatchObject({ status: 'scheduled', executionId: null, rev: 1 });

    await bench().advance(90_000);
    await openNode(bench());
    expect(await bench().submissions.submit(id, 'e2')).toEqual({ kind: 'underway' });
    expect(await bench().record(id)).toMatchObject({
      status: 'queued',
      executionId: 'e2',
      waitReason: null,
      scheduledFor: null,
    });
    expect(await bench().kinds(id)).toEqual(['job.scheduled', 'job.queued']);
  });

  it('the next attempt is early during its backoff and has an execution of its own after it', async () => {
    const claim = await running(bench(), { maxAttempts: 2 });
    const outcome = failed(claim.executionId, 'execution.overloaded');
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome, backoffMs: 90_000 }));
    expect(await bench().submissions.submit(claim.jobId, 'e2')).toEqual(EARLY);
    await bench().advance(90_000);
    await openNode(bench());
    expect(await bench().submissions.submit(claim.jobId, 'e2')).toEqual({ kind: 'underway' });
    expect(await bench().claimsOf('n1').claim(5)).toMatchObject([{ executionId: 'e2', attempt: 2 }]);
  });

  it('a job behind another one of its lane is parked, and stays so when it is submitted again', async () => {
    await submitted(bench(), { concurrencyKey: 'k' });
    const second = await create(bench(), { concurrencyKey: 'k' });
    expect(await bench().submissions.submit(second, 'e1')).toEqual(WAITS);
    const before = await bench().record(second);
    expect(before).toMatchObject({ status: 'queued', waitReason: 'concurrency_key', executionId: null });
    expect(await bench().submissions.submit(second, 'e2')).toEqual(WAITS);
    expect(await bench().record(second)).toEqual(before);
  });

  it('twenty workers that submit one job at once make one execution', async () => {
    await openNode(bench());
    const id = await create(bench(), {}, { delivered: true });
    const ids = Array.from({ length: 20 }, (_, index) => `e${index}`);
    const results = await Promise.all(ids.map((execution) => bench().submissions.submit(id, execution)));
    expect(results).toEqual(Array(20).fill({ kind: 'underway' }));
    expect(await bench().claimsOf('n1').claim(20)).toHaveLength(1);
  });
}
