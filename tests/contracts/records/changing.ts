import { expect, it } from 'vitest';
import type { Bench } from './bench.ts';
import { create, finishOf, running } from './samples.ts';

export function changing(bench: () => Bench): void {
  const patch = { tags: ['b', 'é"'], metadata: { k: 'v' }, archived: true };

  it('tags, metadata and the archived mark of a job are replaced, each on its own', async () => {
    const id = await create(bench(), { tags: ['a'], metadata: { old: '1' } });
    const before = await bench().record(id);
    expect(before.archived).toBe(false);
    expect(await bench().records.change(id, { tags: [] })).toBe(true);
    const tagged = { ...before, rev: 2, request: { ...before.request, tags: [] } };
    expect(await bench().record(id)).toEqual(tagged);
    expect(await bench().records.change(id, patch)).toBe(true);
    const { tags, metadata } = patch;
    const request = { ...before.request, tags, metadata };
    expect(await bench().record(id)).toEqual({ ...before, rev: 3, archived: true, request });
    expect(await bench().records.change(id, { archived: false })).toBe(true);
    expect(await bench().record(id)).toEqual({ ...before, rev: 4, request });
  });

  it('the same change again changes nothing', async () => {
    const id = await create(bench());
    await bench().records.change(id, patch);
    const changed = await bench().record(id);
    expect(await bench().records.change(id, patch)).toBe(true);
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
    expect(await bench().records.change('none', patch)).toBe(false);
    expect(await bench().records.read('none')).toBeNull();
    expect(await bench().log()).toEqual(['c none']);
  });
}
