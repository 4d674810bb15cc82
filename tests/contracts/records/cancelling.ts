import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import type { Bench } from './bench.ts';
import { CANCELLED, create, failed, finishOf, REVOKED, running, submitted } from './samples.ts';

export function cancelling(bench: () => Bench): void {
  const cancel = (id: string, force = false) => bench().records.cancel(id, force, CANCELLED);

  it('what is not there is gone', async () => {
    expect(await cancel('none')).toEqual({ kind: 'gone' });
    expect(await bench().records.read('none')).toBeNull();
  });

  const unclaimed: Record<string, () => Promise<string>> = {
    queued: () => create(bench()),
    delayed: () => create(bench(), { delayMs: 60_000, ttlMs: 60_000 }),
    pending: () => submitted(bench()),
    'pinned and pending': () => submitted(bench(), {}, { pin: 'n9' }),
    parked: async () => {
      await submitted(bench(), { concurrencyKey: 'k' });
      return submitted(bench(), { concurrencyKey: 'k' });
    },
    'in backoff': async () => {
      const claim = await running(bench(), { maxAttempts: 2 });
      const outcome = failed(claim.executionId, 'execution.overloaded');
      await bench()
        .claimsOf('n1')
        .finish(finishOf(claim, { outcome, backoffMs: 60_000 }));
      return claim.jobId;
    },
  };
  for (const [state, make] of Object.entries(unclaimed)) {
    it(`a job that is ${state} ends at once`, async () => {
      const id = await make();
      expect(await cancel(id, state === 'pending')).toEqual({ kind: 'cancelled' });
      const record = await bench().record(id);
      expect(record).toMatchObject({
        status: 'cancelled',
        outcome: CANCELLED,
        cancel: 'requested',
        waitReason: null,
        scheduledFor: null,
      });
      expect(record.finishedAt).not.toBeNull();
      expect((await bench().kinds(id)).at(-1)).toBe('job.finished');
      expect(
        (await bench().published(bench().responseChannel)).map((text) => JSON.parse(text)).at(-1),
      ).toEqual({
        v: 1,
        type: 'finished',
        jobId: id,
        status: 'cancelled',
      });
      expect(await bench().submissions.submit(id, ulid())).toEqual({ kind: 'finished', status: 'cancelled' });
      expect((await bench().claimsOf('n9').claim(10)).map(({ jobId }) => jobId)).not.toContain(id);
      expect(await bench().upkeepOf('n9').counts()).toMatchObject({ parked: 0, scheduled: 0 });
    });
  }

  for (const [state, make] of Object.entries(unclaimed)) {
    it(`a job that is ${state} ends when its key is revoked`, async () => {
      const id = await make();
      expect(await bench().upkeepOf('n1').revoke(['none', id], REVOKED)).toEqual([id]);
      const ended = { status: 'failed', outcome: REVOKED, cancel: 'none', waitReason: null };
      expect(await bench().record(id)).toMatchObject(ended);
      expect((await bench().kinds(id)).at(-1)).toBe('job.finished');
      expect(await bench().upkeepOf('n1').revoke([id], REVOKED)).toEqual([]);
    });
  }

  it('a job that runs goes on when its key is revoked', async () => {
    const { jobId } = await running(bench());
    expect(await bench().upkeepOf('n1').revoke([jobId], REVOKED)).toEqual([]);
    expect(await bench().record(jobId)).toMatchObject({ status: 'running', cancel: 'none' });
  });

  it('a running job is asked to end: the flag is set and its node gets a message', async () => {
    const claim = await running(bench());
    const before = await bench().record(claim.jobId);
    expect(await cancel(claim.jobId)).toEqual({ kind: 'requested' });
    expect(await bench().record(claim.jobId)).toEqual({
      ...before,
      cancel: 'requested',
      rev: before.rev + 1,
    });
    expect((await bench().published(bench().requestChannel)).map((text) => JSON.parse(text)).at(-1)).toEqual({
      v: 1,
      type: 'cancel',
      jobId: claim.jobId,
    });
    expect(await bench().claimsOf('n1').renew([claim])).toEqual(['cancel']);
  });

  it('asking again rings again and changes nothing; force is remembered', async () => {
    const { jobId } = await running(bench());
    await cancel(jobId);
    const asked = await bench().record(jobId);
    expect(await cancel(jobId)).toEqual({ kind: 'requested' });
    expect(await bench().record(jobId)).toEqual(asked);
    expect(await cancel(jobId, true)).toEqual({ kind: 'requested' });
    expect(await bench().record(jobId)).toEqual({ ...asked, cancel: 'forced', rev: asked.rev + 1 });
    expect(await cancel(jobId)).toEqual({ kind: 'requested' });
    expect((await bench().record(jobId)).cancel).toBe('forced');
    const bells = (await bench().published(bench().requestChannel)).map((text) => JSON.parse(text).type);
    expect(bells.filter((type) => type !== 'run')).toEqual(Array(4).fill('cancel'));
  });

  it('a running job may still end otherwise', async () => {
    const claim = await running(bench());
    await cancel(claim.jobId);
    await bench().claimsOf('n1').finish(finishOf(claim));
    expect(await bench().record(claim.jobId)).toMatchObject({ status: 'succeeded', cancel: 'requested' });
  });

  it('a finished job stays as it is and says how it ended', async () => {
    const claim = await running(bench());
    await bench().claimsOf('n1').finish(finishOf(claim));
    const before = await bench().record(claim.jobId);
    expect(await cancel(claim.jobId, true)).toEqual({ kind: 'finished', status: 'succeeded' });
    expect(await bench().record(claim.jobId)).toEqual(before);
    const other = await create(bench());
    await cancel(other);
    expect(await cancel(other)).toEqual({ kind: 'finished', status: 'cancelled' });
  });

  it('an interrupt of a running job is a flag of its own; a cancel and force ask for more', async () => {
    const claim = await running(bench());
    const renew = async () => (await bench().claimsOf('n1').renew([claim]))[0];
    const flag = async () => (await bench().record(claim.jobId)).cancel;
    for (let times = 0; times < 2; times += 1) {
      expect(await bench().records.interrupt(claim.jobId, CANCELLED)).toEqual({ kind: 'requested' });
      expect([await flag(), await renew()]).toEqual(['interrupt', 'interrupt']);
    }
    const bell = (await bench().published(bench().requestChannel)).at(-1);
    expect(JSON.parse(bell ?? '')).toEqual({ v: 1, type: 'cancel', jobId: claim.jobId });
    await cancel(claim.jobId);
    expect([await flag(), await renew()]).toEqual(['requested', 'cancel']);
    await bench().records.interrupt(claim.jobId, CANCELLED);
    expect([await flag(), await renew()]).toEqual(['requested', 'cancel']);
    await cancel(claim.jobId, true);
    await bench().records.interrupt(claim.jobId, CANCELLED);
    expect([await flag(), await renew()]).toEqual(['forced', 'cancel-force']);
  });

  it('an interrupted job has no next execution', async () => {
    const claim = await running(bench(), { maxAttempts: 3 });
    await bench().records.interrupt(claim.jobId, CANCELLED);
    const outcome = failed(claim.executionId, 'execution.overloaded');
    expect(await bench().claimsOf('n1').finish(finishOf(claim, { outcome }))).toBe('finished');
  });

  it('a job that waits for its turn ends at once when it is interrupted', async () => {
    const id = await create(bench());
    expect(await bench().records.interrupt(id, CANCELLED)).toEqual({ kind: 'cancelled' });
    expect(await bench().record(id)).toMatchObject({ status: 'cancelled', outcome: CANCELLED });
    expect(await bench().records.interrupt(id, CANCELLED)).toEqual({ kind: 'finished', status: 'cancelled' });
    expect(await bench().records.interrupt('none', CANCELLED)).toEqual({ kind: 'gone' });
  });

  it('a message interrupts once, also with another job; the last 1,000 of a session are known', async () => {
    const [session, other, later] = [ulid(), ulid(), await create(bench())];
    const send = async (message: string, to = session, job = 'none') => {
      const given = { session: to, id: message };
      return (await bench().records.interrupt(job, CANCELLED, null, given)).kind;
    };
    expect([await send('m'), await send('m', session, later)]).toEqual(['gone', 'repeated']);
    expect((await bench().record(later)).status).toBe('queued');
    expect(await send('m', other, later)).toBe('cancelled');
    await bench().tick();
    for (let n = 0; n < 1000; n += 1) await send(`m${n}`);
    expect([await send('m999'), await send('m1'), await send('m')]).toEqual(['repeated', 'repeated', 'gone']);
  });
}
