import { expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { scoreOf } from '../../../src/records/record-codec.ts';
import type { Bench } from './bench.ts';
import { CANCELLED, CREATED_AT, create, EARLY, finishOf, openNode, running, submitted } from './samples.ts';

export function changing(bench: () => Bench): void {
  const patch = { tags: ['b', 'é"'], metadata: { k: 'v' }, archived: true };

  it('tags, metadata and the archived mark of a job are replaced, each on its own', async () => {
    const id = await create(bench(), { tags: ['a'], metadata: { old: '1' } });
    const before = await bench().record(id);
    expect(before.archived).toBe(false);
    expect(await bench().records.change(id, { tags: [] })).toBe('changed');
    const tagged = { ...before, rev: 2, request: { ...before.request, tags: [] } };
    expect(await bench().record(id)).toEqual(tagged);
    expect(await bench().records.change(id, patch)).toBe('changed');
    const { tags, metadata } = patch;
    const request = { ...before.request, tags, metadata };
    expect(await bench().record(id)).toEqual({ ...before, rev: 3, archived: true, request });
    expect(await bench().records.change(id, { archived: false })).toBe('changed');
    expect(await bench().record(id)).toEqual({ ...before, rev: 4, request });
  });

  it('the same change again changes nothing', async () => {
    const id = await create(bench());
    await bench().records.change(id, patch);
    const changed = await bench().record(id);
    expect(await bench().records.change(id, patch)).toBe('changed');
    expect(await bench().record(id)).toEqual(changed);
  });

  it('a job that has ended is changed and stays as long as before; a running one runs on', async () => {
    const claim = await running(bench());
    await bench().records.change(claim.jobId, { tags: ['while it runs'] });
    expect(await bench().claimsOf('n1').renew([claim])).toEqual(['held']);
    await bench().claimsOf('n1').finish(finishOf(claim));
    const ended = await bench().record(claim.jobId);
    expect(ended.request.tags).toEqual(['while it runs']);
    await bench().records.change(claim.jobId, { archived: true });
    expect(await bench().record(claim.jobId)).toEqual({ ...ended, rev: ended.rev + 1, archived: true });
    expect((await bench().log()).at(-1)).toBe(`c ${claim.jobId}`);
    expect(await bench().kinds(claim.jobId)).toHaveLength(ended.lastSeq);
  });

  it('of a job that Redis no longer has, the change is in the log alone', async () => {
    expect(await bench().records.change('none', patch)).toBe('gone');
    expect(await bench().records.read('none')).toBeNull();
    expect(await bench().log()).toEqual(['c none']);
  });

  const at = (priority: number, createdAt: number) => ({
    priority: { value: priority, score: scoreOf({ request: resolvedPrompt({ priority }), createdAt }) },
  });
  const ready = async () => (await bench().claimsOf('n1').claim(9)).map(({ jobId }) => jobId);

  it('a ready job with a higher priority goes before the others, also one that waits for its time', async () => {
    const first = await create(bench());
    const later = await create(bench(), { delayMs: 60_000 });
    const second = await create(bench());
    expect(await bench().records.change(second, at(5, CREATED_AT))).toBe('changed');
    expect(await bench().records.change(later, at(10, CREATED_AT))).toBe('changed');
    expect((await bench().record(second)).request.priority).toBe(5);
    await bench().advance(61_000);
    await bench().upkeepOf('n1').sweep(0, 10);
    expect(await ready()).toEqual([later, second, first]);
    expect(await bench().records.change(first, at(-5, CREATED_AT))).toBe('changed'); // it runs
  });

  it('a job with a runAt waits until then, wherever it was, and gives up its place in a lane', async () => {
    const key = { concurrencyKey: 'k' };
    const [ahead, behind] = [await create(bench(), key), await create(bench(), key)];
    const given = await create(bench());
    await openNode(bench());
    const time = (await bench().now()) + 60_000;
    for (const id of [ahead, given])
      expect(await bench().records.change(id, { runAt: { at: time, deadline: null } })).toBe('changed');
    const scheduled = { status: 'scheduled', waitReason: 'delayed', scheduledFor: time, executionId: null };
    expect(await bench().record(ahead)).toMatchObject(scheduled);
    expect(await bench().record(behind)).toMatchObject({ status: 'queued', waitReason: null });
    expect(await ready()).toEqual([behind]);
    expect(await bench().submissions.submit(given, 'e1')).toEqual(EARLY);
    expect(await bench().kinds(given)).toEqual(['job.queued', 'job.scheduled']);
    const { rev } = await bench().record(given);
    await bench().records.change(given, { runAt: { at: time, deadline: null } });
    expect((await bench().record(given)).rev).toBe(rev);
    await bench().advance(61_000);
    await bench().upkeepOf('n1').sweep(0, 10);
    expect(await bench().record(given)).toMatchObject({ status: 'queued', scheduledFor: null });
    expect(await bench().record(ahead)).toMatchObject({ waitReason: 'concurrency_key' });
  });

  it('a runAt in the past lets a scheduled job go on at once, and its ttlMs counts from then', async () => {
    const id = await create(bench(), { delayMs: 600_000, ttlMs: 1000 });
    const now = await bench().now();
    await bench().records.change(id, { runAt: { at: now - 5, deadline: now + 30_000 } });
    expect(await bench().record(id)).toMatchObject({ status: 'queued', waitReason: null });
    expect(await bench().upkeepOf('n1').expire(CANCELLED, 10)).toEqual([]);
    await bench().advance(31_000);
    expect(await bench().upkeepOf('n1').expire(CANCELLED, 10)).toEqual([id]);
  });

  it('a job that a worker holds and that is postponed is given back', async () => {
    const id = await submitted(bench());
    await bench().records.change(id, { runAt: { at: (await bench().now()) + 60_000, deadline: null } });
    expect(await bench().published(bench().responseChannel)).toEqual([
      `{"v":1,"type":"scheduled","jobId":"${id}","status":"scheduled"}`,
    ]);
    expect(await bench().submissions.submit(id, 'e2')).toEqual(EARLY);
    expect(await ready()).toEqual([]);
  });

  it('a running job keeps its time, an ended one its priority, and nothing else changes with them', async () => {
    const claim = await running(bench());
    const { jobId } = claim;
    const before = await bench().record(jobId);
    const runAt = { at: 1, deadline: null };
    expect(await bench().records.change(jobId, { tags: ['x'], runAt })).toBe('running');
    expect(await bench().record(jobId)).toEqual(before);
    await bench().claimsOf('n1').finish(finishOf(claim));
    const ended = await bench().record(jobId);
    expect(await bench().records.change(jobId, { tags: ['x'], runAt })).toBe('finished');
    expect(await bench().records.change(jobId, { archived: true, ...at(5, 1) })).toBe('finished');
    expect(await bench().record(jobId)).toEqual(ended);
    expect(await bench().records.change('none', at(5, 1))).toBe('finished');
  });
}
