import { describe, expect, it } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import type { BatchItem } from '../../../src/http/ports.ts';
import { CANCELLED } from '../../../src/jobs/job-service.ts';
import { type BatchResult, batchLinks } from '../../../src/protocol/job.ts';
import type { Usage } from '../../../src/protocol/outcome.ts';
import { failed, finishOf, succeeded } from '../../contracts/records/samples.ts';
import { callerOf } from '../../fakes/principals.ts';
import { ADMIN, ALICE, type BatchBench, BOB, batchBench } from './batch-bench.ts';

const prompts = (count: number) => Array.from({ length: count }, (_, index) => ({ prompt: `p${index}` }));
const idsOf = (items: readonly object[]): string[] =>
  items.flatMap((item) => ('id' in item ? [String(item.id)] : []));
const asItems = (list: readonly BatchItem['prompt'][]): BatchItem[] =>
  list.map((prompt) => ({ customId: null, prompt }));
const KEY = { key: 'k', fingerprint: 'f' };
const COST: Usage = {
  ...{ inputTokens: 1, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0 },
  ...{ costUsd: 1, costBasis: 'reported' },
};

async function make(bench: BatchBench, count: number) {
  const { batch } = await bench.service.create(ALICE, asItems(prompts(count)), null);
  return { id: batch.id, ids: idsOf(batch.items) };
}

async function resultsOf(bench: BatchBench, id: string, caller = ALICE): Promise<readonly BatchResult[]> {
  const lines: BatchResult[] = [];
  for await (const page of await bench.service.results(caller, id)) lines.push(...page);
  return lines;
}

describe('making a batch', () => {
  it('makes a job and an entry of each prompt, in order, and slices a long one', async () => {
    const bench = await batchBench();
    const { batch, replayed } = await bench.service.create(
      ALICE,
      asItems([{ prompt: 'first', priority: 5 }, { prompt: 'later', delayMs: 1000 }, ...prompts(350)]),
      null,
    );
    const ids = idsOf(batch.items);
    expect([replayed, ids.length, new Set(ids).size]).toEqual([false, 352, 352]);
    expect(batch.items.map(({ index }) => index)).toEqual(ids.map((_, index) => index));
    const { found: records } = await bench.rpc.records.readMany(ids);
    expect(records.map(({ id }) => id)).toEqual(ids);
    expect(records.every(({ principal, batch: of }) => principal === 'alice' && of === batch.id)).toBe(true);
    expect(records.slice(0, 3).map(({ request, status }) => [request.prompt, status])).toEqual([
      ['first', 'queued'],
      ['later', 'scheduled'],
      ['p0', 'queued'],
    ]);
    expect([...bench.queue.entries.values()].slice(0, 2)).toEqual([
      { id: ids[0], delayMs: null },
      { id: ids[1], delayMs: 1000 },
    ]);
    expect([...bench.queue.entries.keys()]).toEqual(ids);
    expect(Math.max(...bench.queue.sizes)).toBeLessThanOrEqual(100);
    expect(bench.admitted).toEqual([352]);
  });

  it('a job in a session of another project, which an admin may use, belongs to that project', async () => {
    const bench = await batchBench();
    const items = [{ prompt: 'a', sessionId: 'of web' }, { prompt: 'b' }].map((prompt) => ({
      ...{ customId: null, prompt },
    }));
    const { batch } = await bench.service.create(ADMIN, items, null);
    const ids = batch.items.map((item) => ('id' in item ? item.id : ''));
    const { found } = await bench.rpc.records.readMany(ids);
    expect(found.map(({ project, principal }) => [project, principal])).toEqual([
      ['web', 'admin'],
      ['default', 'admin'],
    ]);
  });

  it('belongs to the project of its jobs, also when an admin makes it', async () => {
    const bench = await batchBench();
    const items = asItems([{ prompt: 'a', sessionId: 'of web' }]);
    const { batch } = await bench.service.create(ADMIN, items, null);
    expect(await bench.service.get(callerOf('key:w', 'web'), batch.id)).toMatchObject({ total: 1 });
    const other = bench.service.get(callerOf('key:d', 'default'), batch.id);
    await expect(other).rejects.toMatchObject({ code: 'batch.not_found' });
  });

  it('of several projects shows and ends for others only what belongs to theirs', async () => {
    const bench = await batchBench();
    const items = [
      { customId: 'secret', prompt: { prompt: 'a', sessionId: 'of web' } },
      { customId: 'own', prompt: { prompt: 'b' } },
    ];
    const { batch } = await bench.service.create(ADMIN, items, null);
    const [ofWeb = '', own = ''] = idsOf(batch.items);
    for (const claim of await bench.rpc.claim('n1', 2))
      if (claim.jobId === ofWeb)
        await bench.rpc
          .claimsOf('n1')
          .finish(finishOf(claim, { outcome: { ...succeeded('E'), usage: COST } }));
    const other = callerOf('key:d', 'default');
    const seen = async () => ({
      got: await bench.service.get(other, batch.id),
      listed: (await bench.service.list(other, { limit: 9, cursor: null })).data,
      lines: await resultsOf(bench, batch.id, other),
    });
    const wanted = { total: 1, costUsd: null, counts: { succeeded: 0, running: 1 } };
    const lines = [
      { customId: null, jobId: null, outcome: null, error: { code: 'job.not_found' } },
      { customId: 'own', jobId: own, status: 'running' },
    ];
    expect(await seen()).toMatchObject({ got: wanted, listed: [wanted], lines });
    expect(await bench.service.get(ADMIN, batch.id)).toMatchObject({ total: 2, costUsd: COST.costUsd });
    await bench.service.cancel(other, batch.id, false);
    await bench.advance(48 * 3_600_000);
    expect(await bench.rpc.batches.read(batch.id)).toBeNull();
    expect(await seen()).toMatchObject({ got: wanted, listed: [wanted], lines });

    const { batch: waiting } = await bench.service.create(ADMIN, items, null);
    await bench.service.cancel(other, waiting.id, false);
    const counts = { queued: 1, cancelled: 1 };
    expect(await bench.service.get(ADMIN, waiting.id)).toMatchObject({ total: 2, counts });
    expect((await bench.rpc.records.read(idsOf(waiting.items)[0] ?? ''))?.status).toBe('queued');
  });

  it('a refused prompt keeps its place in the answer, and the others become jobs', async () => {
    const bench = await batchBench();
    const bad = new AppError('request.invalid', 'prompt is required', {
      problems: [{ path: '/prompt', message: 'is required' }],
    });
    const items = [
      { customId: 'bad', prompt: bad },
      { customId: 'a', prompt: { prompt: 'a' } },
      ...asItems([{ prompt: 'b', provider: 'unknown' }, { prompt: 'c' }]),
    ];
    const { batch } = await bench.service.create(ALICE, items, null);
    const [a, c] = idsOf(batch.items);
    expect(batch.items).toEqual([
      {
        index: 0,
        customId: 'bad',
        error: {
          code: 'request.invalid',
          message: 'prompt is required',
          retryable: false,
          errors: [{ path: '/prompt', message: 'is required' }],
        },
      },
      { index: 1, customId: 'a', id: a },
      { index: 2, customId: null, error: expect.objectContaining({ code: 'provider.unknown' }) },
      { index: 3, customId: null, id: c },
    ]);
    const texts = (await bench.rpc.records.readMany([a ?? '', c ?? ''])).found.map(({ request }) => [
      request.prompt,
      request.customId,
    ]);
    expect(texts).toEqual([
      ['a', 'a'],
      ['c', undefined],
    ]);
    expect(await bench.service.get(ALICE, batch.id)).toMatchObject({ total: 2, counts: { queued: 2 } });
  });

  it('an error of the server refuses the whole call, and nothing is made', async () => {
    const bench = await batchBench();
    const items = asItems([{ prompt: 'a' }, { prompt: 'b', provider: 'broken' }]);
    await expect(bench.service.create(ALICE, items, null)).rejects.toMatchObject({
      code: 'store.unavailable',
    });
    const full = bench.another({
      admit: () => {
        throw new AppError('queue.full', 'too many');
      },
    });
    await expect(full.create(ALICE, asItems(prompts(1)), null)).rejects.toMatchObject({ code: 'queue.full' });
    expect(await bench.rpc.log()).toEqual([]);
  });

  it('the same key gives the same answer and makes nothing; another request with it is refused', async () => {
    const bench = await batchBench();
    const items = asItems([{ prompt: 'a' }, { prompt: 'b', provider: 'unknown' }]);
    const first = await bench.service.create(ALICE, items, KEY);
    const again = await bench.service.create(ALICE, items, KEY);
    expect(again).toEqual({ batch: first.batch, replayed: true });
    expect(await bench.rpc.log()).toEqual([
      `b ${first.batch.id}`,
      `u ${first.batch.id}`,
      `j ${idsOf(first.batch.items)[0]}`,
    ]);
    const other = bench.service.create(ALICE, asItems(prompts(1)), { ...KEY, fingerprint: 'g' });
    await expect(other).rejects.toMatchObject({ code: 'idempotency.key_reused' });
    expect((await bench.service.create(BOB, items, KEY)).replayed).toBe(false);
  });

  it('a batch that was cut short is completed by the same request, and no job is made twice', async () => {
    const bench = await batchBench();
    let slices = 0;
    const dying = bench.another({
      batchRecords: {
        ...bench.rpc.batches,
        add: async (...args) => {
          slices += 1;
          if (slices > 1) throw new AppError('redis.unavailable', 'gone');
          await bench.rpc.batches.add(...args);
        },
      },
    });
    await expect(dying.create(ALICE, asItems(prompts(250)), KEY)).rejects.toMatchObject({
      code: 'redis.unavailable',
    });
    const made = (await bench.rpc.log()).filter((entry) => entry.startsWith('j '));
    expect(made).toHaveLength(100);
    // Some have ended, and Redis has forgotten them: they must not run again.
    const gone = made[0]?.slice(2) ?? '';
    await bench.rpc.records.cancel(gone, false, CANCELLED);
    await bench.rpc.records.remove(gone);

    const { batch, replayed } = await bench.service.create(ALICE, asItems(prompts(250)), KEY);
    const ids = idsOf(batch.items);
    expect([replayed, ids.length, ids[0]]).toEqual([true, 250, gone]);
    const { found: records } = await bench.rpc.records.readMany(ids);
    expect(records.map(({ request }) => request.prompt)).toEqual(
      prompts(250)
        .slice(1)
        .map(({ prompt }) => prompt),
    );
    for (const { id } of records) expect(bench.queue.entries.has(id), id).toBe(true);
    expect(await bench.service.get(ALICE, batch.id)).toMatchObject({ total: 249 });
  });
});

describe('reading a batch', () => {
  it('its counts are those of the records, in every state', async () => {
    const bench = await batchBench();
    const { id, ids } = await make(bench, 4);
    const running = (await bench.rpc.claim('n1', 2)).map(({ jobId }) => jobId);
    const waiting = ids.find((job) => !running.includes(job)) ?? '';
    await bench.rpc.records.cancel(waiting, false, CANCELLED);
    expect(await bench.service.get(ALICE, id)).toEqual({
      id,
      createdAt: expect.stringMatching(/Z$/),
      startedAt: expect.stringMatching(/Z$/),
      finishedAt: null,
      finished: false,
      refused: 0,
      total: 4,
      counts: { queued: 1, scheduled: 0, waiting: 0, running: 2, succeeded: 0, failed: 0, cancelled: 1 },
      costUsd: null,
      links: batchLinks(id),
    });
  });

  it('another caller gets 404, an admin sees all', async () => {
    const bench = await batchBench();
    const { id } = await make(bench, 1);
    await expect(bench.service.get(BOB, id)).rejects.toMatchObject({ code: 'batch.not_found' });
    await expect(bench.service.get(ALICE, 'none')).rejects.toMatchObject({ code: 'batch.not_found' });
    expect((await bench.service.get(ADMIN, id)).total).toBe(1);
  });

  it('jobs that Redis has forgotten are counted from the copies, deleted ones are not counted', async () => {
    const bench = await batchBench();
    const { id, ids } = await make(bench, 3);
    for (const job of ids.slice(0, 2)) await bench.rpc.records.cancel(job, false, CANCELLED);
    await bench.project();
    await bench.advance(2 * 3_600_000);
    const counts = { queued: 1, cancelled: 2 };
    expect(await bench.service.get(ALICE, id)).toMatchObject({ total: 3, counts });
    await bench.store.run('jobs.delete', { id: ids[0] ?? '' });
    expect(await bench.service.get(ALICE, id)).toMatchObject({
      total: 2,
      counts: { queued: 1, cancelled: 1 },
    });
  });

  it('a batch without a record is read from its jobs, until the last of them is deleted', async () => {
    const bench = await batchBench();
    const { id, ids } = await make(bench, 2);
    await bench.project();
    await bench.advance(48 * 3_600_000);
    expect(await bench.rpc.batches.read(id)).toBeNull();
    expect(await bench.service.get(ALICE, id)).toMatchObject({ id, total: 2, finished: false });
    await expect(bench.service.get(BOB, id)).rejects.toMatchObject({ code: 'batch.not_found' });
    const cancelled = await bench.service.cancel(ALICE, id, false);
    expect(cancelled).toMatchObject({
      alreadyOver: false,
      batch: { finished: true, counts: { cancelled: 2 } },
    });
    for (const job of ids) await bench.store.run('jobs.delete', { id: job });
    await expect(bench.service.get(ALICE, id)).rejects.toMatchObject({ code: 'batch.not_found' });
  });
});

describe('the list of batches', () => {
  it('has the batches of the caller, newest first, a page at a time, with the counts of the copies', async () => {
    const bench = await batchBench();
    const made = [await make(bench, 1), await make(bench, 2), await make(bench, 3)];
    await bench.service.create(BOB, asItems(prompts(1)), null);
    await bench.rpc.records.cancel(made[2]?.ids[0] ?? '', false, CANCELLED);
    const first = await bench.service.list(ALICE, { limit: 2, cursor: null });
    expect(first.data.map(({ id, total }) => [id, total])).toEqual([
      [made[2]?.id, 3],
      [made[1]?.id, 2],
    ]);
    expect(first.data[0]).toEqual(await bench.service.get(ALICE, made[2]?.id ?? ''));
    const second = await bench.service.list(ALICE, { limit: 2, cursor: first.nextCursor });
    expect([second.data.map(({ id }) => id), second.nextCursor]).toEqual([[made[0]?.id], null]);
    expect((await bench.service.list(ADMIN, { limit: 100, cursor: null })).data).toHaveLength(4);
  });

  it('still shows a batch that Redis has forgotten, with the prompts that were refused', async () => {
    const bench = await batchBench();
    const bad = { prompt: 'b', provider: 'unknown' };
    const { batch } = await bench.service.create(ALICE, asItems([{ prompt: 'a' }, bad]), null);
    await bench.project();
    await bench.advance(48 * 3_600_000);
    expect(await bench.rpc.batches.read(batch.id)).toBeNull();
    const { data } = await bench.service.list(ALICE, { limit: 20, cursor: null });
    expect(data).toMatchObject([{ id: batch.id, total: 1, refused: 1, finished: false }]);
  });
});

describe('the results of a batch', () => {
  it('have a line for each prompt, in order, from the records and then from the copies', async () => {
    const bench = await batchBench();
    const given = [
      { customId: 'good', prompt: { prompt: 'a' } },
      { customId: 'bad', prompt: { prompt: 'b', provider: 'unknown' } },
      ...['fails', 'waits', 'goes'].map((customId) => ({ customId, prompt: { prompt: customId } })),
    ];
    const { batch } = await bench.service.create(ALICE, given, null);
    const [good = '', fails = '', waits = '', goes = ''] = idsOf(batch.items);
    const claims = bench.rpc.claimsOf('n1');
    for (const claim of await bench.rpc.claim('n1', 2)) {
      const outcome = claim.jobId === good ? succeeded('E1') : failed('E2', 'execution.crashed');
      await claims.finish(finishOf(claim, { outcome }));
    }
    await bench.rpc.records.cancel(goes, false, CANCELLED);
    await bench.project();
    await bench.rpc.records.remove(goes);
    await bench.project();
    await bench.store.run('jobs.delete', { id: goes });
    const wanted = [
      { index: 0, customId: 'good', jobId: good, status: 'succeeded', error: null },
      { index: 1, customId: 'bad', jobId: null, status: null, outcome: null },
      { index: 2, customId: 'fails', jobId: fails, status: 'failed' },
      { index: 3, customId: 'waits', jobId: waits, status: 'queued', outcome: null, error: null },
      { index: 4, customId: 'goes', jobId: goes, status: null, outcome: null },
    ];
    const codes = [undefined, 'provider.unknown', 'execution.crashed', undefined, 'job.not_found'];
    const fromRecords = await resultsOf(bench, batch.id);
    expect(fromRecords).toMatchObject(wanted);
    expect(fromRecords.map(({ error }) => error?.code)).toEqual(codes);
    expect(fromRecords[0]?.outcome).toEqual(succeeded('E1'));
    await bench.advance(48 * 3_600_000);
    expect(await resultsOf(bench, batch.id)).toEqual(fromRecords);
  });

  it('are read some at a time, and only for who may see the batch', async () => {
    const bench = await batchBench();
    const { id } = await make(bench, 25);
    const sizes: number[] = [];
    for await (const page of await bench.service.results(ADMIN, id)) sizes.push(page.length);
    expect(sizes).toEqual([10, 10, 5]);
    await expect(bench.service.results(BOB, id)).rejects.toMatchObject({ code: 'batch.not_found' });
  });
});

describe('cancelling a batch', () => {
  it('ends jobs that wait, asks running ones to stop, and leaves ended ones alone', async () => {
    const bench = await batchBench();
    const { id } = await make(bench, 130);
    const ran = (await bench.rpc.claim('n1', 1))[0]?.jobId ?? '';
    const { batch, alreadyOver } = await bench.service.cancel(ALICE, id, true);
    expect([alreadyOver, batch.counts.running, batch.counts.cancelled]).toEqual([false, 1, 129]);
    expect((await bench.rpc.records.read(ran))?.cancel).toBe('forced');
    expect([...bench.queue.entries.keys()]).toEqual([ran]);
    await expect(bench.service.cancel(BOB, id, false)).rejects.toMatchObject({ code: 'batch.not_found' });
  });

  it('reports when all jobs had ended before', async () => {
    const bench = await batchBench();
    const { id } = await make(bench, 2);
    await bench.service.cancel(ALICE, id, false);
    expect(await bench.service.cancel(ALICE, id, false)).toMatchObject({
      alreadyOver: true,
      batch: { finished: true },
    });
  });
});
