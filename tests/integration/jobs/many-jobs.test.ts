import { describe, expect, it } from 'vitest';
import type { JobFilter } from '../../../src/protocol/job.ts';
import { failed, finishOf, succeeded } from '../../contracts/records/samples.ts';
import { ADMIN, ALICE, type BatchBench, BOB, batchBench } from './batch-bench.ts';

/** Jobs of Alice, of which the first ones have ended: `f` failed, `s` succeeded; `r` runs. */
async function made(bench: BatchBench, states: string): Promise<readonly string[]> {
  const items = [...states].map((state, index) => ({
    customId: `${state}${index}`,
    prompt: { prompt: `p${index}` },
  }));
  const { batch } = await bench.service.create(ALICE, items, null);
  const ids = batch.items.flatMap((item) => ('id' in item ? [item.id] : []));
  const claims = bench.rpc.claimsOf('n1');
  for (const [index, state] of [...states].entries()) {
    const id = ids[index] ?? '';
    if (state === 'q') continue;
    // This one alone is claimed, and nothing else is given to the node.
    await bench.rpc.claim('n1', 1);
    await claims.giveBack();
    const claim = (await claims.owned()).find(({ jobId }) => jobId === id);
    if (claim === undefined) throw new Error('nothing could be claimed');
    const outcome = state === 'f' ? failed('E', 'execution.crashed') : succeeded('E');
    if (state !== 'r') await claims.finish(finishOf(claim, { outcome }));
  }
  return ids;
}

const all = (filter: JobFilter = {}) => ({ filter, cursor: null });

describe('cancelling many jobs', () => {
  it('ends those that wait, stops those that run, and a repeated call changes nothing', async () => {
    const bench = await batchBench();
    const ids = await made(bench, 'frqq');
    expect(await bench.many.cancel(BOB, all(), false)).toMatchObject({ matched: 0 });
    const done = { cancelled: 2, requested: 1, skipped: {}, nextCursor: null };
    expect(await bench.many.cancel(ALICE, all(), false)).toEqual({ matched: 3, ...done });
    expect([...bench.queue.entries.keys()]).toEqual(ids.slice(0, 2));
    const again = await bench.many.cancel(ALICE, all(), false);
    expect(again).toEqual({ matched: 1, ...done, cancelled: 0 });
    const ended = await bench.many.cancel(ADMIN, all({ status: ['failed', 'cancelled'] }), false);
    expect(ended).toMatchObject({ matched: 3, cancelled: 0, skipped: { 'job.already_finished': 3 } });
  });

  it('only those that the filter names', async () => {
    const bench = await batchBench();
    const ids = await made(bench, 'qq');
    const { batch } = await bench.service.create(ALICE, [{ customId: null, prompt: { prompt: 'x' } }], null);
    expect(await bench.many.cancel(ALICE, all({ batch: batch.id }), false)).toMatchObject({ cancelled: 1 });
    expect([...bench.queue.entries.keys()]).toEqual(ids);
  });
});

describe('a page of many jobs', () => {
  it('has a thousand, and the next call goes on behind it', async () => {
    const bench = await batchBench();
    await made(bench, 'q'.repeat(1001));
    const first = await bench.many.cancel(ALICE, all(), false);
    expect(first).toMatchObject({ matched: 1000, cancelled: 1000, nextCursor: expect.any(String) });
    const second = await bench.many.cancel(ALICE, { filter: {}, cursor: first.nextCursor }, false);
    expect(second).toMatchObject({ matched: 1, cancelled: 1, nextCursor: null });
  });

  it('of retries ends before their prompts take too much memory', async () => {
    const bench = await batchBench({ maxChars: 16 });
    const prompt = 'x'.repeat(7);
    const items = [1, 2, 3].map(() => ({ customId: null, prompt: { prompt } }));
    await bench.service.create(ALICE, items, null);
    await bench.many.cancel(ALICE, all(), false);
    const filter = { status: ['cancelled' as const] };
    const first = await bench.many.retry(ALICE, all(filter), null, null);
    expect(first).toMatchObject({ matched: 2, retried: 2, nextCursor: expect.any(String) });
    const second = await bench.many.retry(ALICE, { filter, cursor: first.nextCursor }, null, null);
    expect(second).toMatchObject({ matched: 1, retried: 1, nextCursor: null });
  });
});

describe('retrying many jobs', () => {
  it('leaves each in the project of the job that it repeats, also for an admin', async () => {
    const bench = await batchBench();
    await made(bench, 'f');
    const { batchId } = await bench.many.retry(ADMIN, all(), null, null);
    const batch = await bench.rpc.batches.read(batchId ?? '');
    expect(batch).toMatchObject({ project: ALICE.project, principal: 'admin' });
    const { found } = await bench.rpc.records.readMany(batch?.jobs.map(({ id }) => id) ?? []);
    expect(found.map(({ project, principal }) => [project, principal])).toEqual([[ALICE.project, 'admin']]);
    expect(await bench.service.get(ALICE, batchId ?? '')).toMatchObject({ total: 1 });
  });

  it('makes a batch of what failed, oldest first, and repeats neither at the next call', async () => {
    const bench = await batchBench();
    const ids = await made(bench, 'fsfq');
    const retried = await bench.many.retry(ALICE, all(), null, null);
    expect(retried).toEqual({
      ...{ matched: 2, retried: 2, batchId: expect.any(String), skipped: {}, nextCursor: null },
    });
    const found = await bench.rpc.batches.read(retried.batchId ?? '');
    const { found: jobs } = await bench.rpc.records.readMany(found?.jobs.map(({ id }) => id) ?? []);
    expect(jobs.map((job) => [job.retryOf, job.request.customId, job.request.prompt, job.status])).toEqual([
      [ids[0], 'f0', 'p0', 'queued'],
      [ids[2], 'f2', 'p2', 'queued'],
    ]);
    const again = await bench.many.retry(ALICE, all(), null, null);
    expect(again).toEqual({
      ...{ matched: 2, retried: 0, batchId: null, nextCursor: null },
      skipped: { 'job.already_retried': 2 },
    });
    const [one, other] = await Promise.all(
      [1, 2].map(() => bench.many.retry(ALICE, all({ status: ['succeeded', 'queued'] }), null, null)),
    );
    expect([one?.retried, other?.retried]).toEqual([1, 0]);
    expect(one?.skipped).toEqual({ 'job.not_finished': 3 });
  });

  it.each([
    { from: null, made: ['session', 'start'], skipped: {} },
    { from: 'start' as const, made: ['start', 'start'], skipped: {} },
    { from: 'session' as const, made: ['session'], skipped: { 'session.not_found': 1 } },
  ])('of which the CLI has begun a session for one: from $from', async ({ from, made: wanted, skipped }) => {
    const bench = await batchBench();
    const ids = await made(bench, 'rf');
    const [claim = expect.unreachable()] = await bench.rpc.claimsOf('n1').owned();
    const begun = { sessionId: claim.jobId, nativeSessionId: 'native', text: 'so far' };
    const outcome = { ...failed(claim.executionId, 'execution.crashed'), ...begun };
    await bench.rpc.claimsOf('n1').finish(finishOf(claim, { outcome }));
    const answer = await bench.many.retry(ALICE, all(), from, null);
    expect(answer).toMatchObject({ matched: 2, retried: wanted.length, skipped });
    const batch = await bench.rpc.batches.read(answer.batchId ?? '');
    const { found } = await bench.rpc.records.readMany(batch?.jobs.map(({ id }) => id) ?? []);
    expect(found.map(({ retryOf }) => retryOf)).toEqual(ids.slice(0, wanted.length));
    const inSession = { sessionId: ids[0], continues: { asked: true } };
    expect(found.map(({ request }) => request)).toMatchObject(
      wanted.map((where) => (where === 'session' ? inSession : { sessionId: null })),
    );
  });

  it('answers the same key with the same batch, and another filter under it is refused', async () => {
    const bench = await batchBench();
    await made(bench, 'ff');
    const key = { key: 'k', fingerprint: 'f' };
    const first = await bench.many.retry(ALICE, all(), null, key);
    expect(first).toMatchObject({ retried: 2, skipped: {} });
    expect(await bench.many.retry(ALICE, all(), null, key)).toEqual(first);
    const other = bench.many.retry(ALICE, all(), null, { ...key, fingerprint: 'g' });
    await expect(other).rejects.toMatchObject({ code: 'idempotency.key_reused' });
  });
});
