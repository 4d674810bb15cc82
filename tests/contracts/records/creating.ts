import { expect, it } from 'vitest';
import type { NewJob } from '../../../src/records/ports.ts';
import { KEEP_MS } from '../../helpers/redis-records.ts';
import type { Bench } from './bench.ts';
import { CANCELLED, create, failed, finishOf, newJob, running, submitted } from './samples.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const keyed = (key: string, fingerprint: string): NewJob => newJob({}, { idempotency: { key, fingerprint } });

export function creating(bench: () => Bench): void {
  it('a new job is queued, with everything it was made of', async () => {
    const job = newJob(
      { prompt: 'Hej "då" \u0000\u2028 😀', priority: 3, tags: ['a'], metadata: { k: 'v' } },
      { principal: 'bob', retryOf: 'earlier', pin: 'n7', batch: 'b1' },
    );
    expect(await bench().records.create(job)).toEqual({ kind: 'created' });
    expect(await bench().records.read(job.id)).toEqual({
      id: job.id,
      rev: 1,
      kind: 'api',
      project: 'default',
      principal: 'bob',
      grant: null,
      forged: false,
      sessionId: job.id,
      nativeSessionId: null,
      batch: 'b1',
      archived: false,
      request: job.request,
      retryOf: 'earlier',
      pin: 'n7',
      status: 'queued',
      waitReason: null,
      scheduledFor: null,
      attempt: 0,
      failures: 0,
      executionId: null,
      node: null,
      cancel: 'none',
      lastSeq: 1,
      createdAt: job.createdAt,
      startedAt: null,
      finishedAt: null,
      outcome: null,
    });
    expect(await bench().kinds(job.id)).toEqual(['job.queued']);
  });

  it('a delayed job is scheduled for its time', async () => {
    const before = await bench().now();
    const id = await create(bench(), { delayMs: 90_000 });
    const after = await bench().now();
    const record = await bench().record(id);
    expect(record).toMatchObject({ status: 'scheduled', waitReason: 'delayed' });
    expect(record.scheduledFor).toBeGreaterThanOrEqual(before + 90_000);
    expect(record.scheduledFor).toBeLessThanOrEqual(after + 90_000);
    expect(await bench().records.events(id, 0, 10)).toEqual([
      {
        seq: 1,
        jobId: id,
        attempt: 0,
        at: expect.stringMatching(/^\d{4}-.*Z$/),
        raw: null,
        kind: 'job.scheduled',
        waitReason: 'delayed',
        scheduledFor: new Date(record.scheduledFor ?? 0).toISOString(),
      },
    ]);
  });

  it('a job that is made again begins when it was to begin, and its ttlMs counts from then', async () => {
    const now = await bench().now();
    const runAt = new Date(now + 60_000).toISOString();
    const moved = newJob({ delayMs: 60_000, runAt }, { dueAt: now + 120_000 });
    const late = newJob({ ttlMs: 60_000 }, { dueAt: now - 120_000 });
    for (const job of [moved, late]) await bench().records.create(job);
    expect(await bench().record(moved.id)).toMatchObject({
      status: 'scheduled',
      scheduledFor: now + 120_000,
    });
    const expired = failed(null, 'queue.expired');
    expect(await bench().upkeepOf('n1').expire(expired, 10)).toEqual([late.id]);
    expect(await bench().record(late.id)).toMatchObject({ status: 'failed', outcome: expired });
  });

  it('creating a job a second time changes nothing', async () => {
    const job = newJob();
    await bench().records.create(job);
    const before = await bench().record(job.id);
    expect(await bench().records.create({ ...job, principal: 'mallory' })).toEqual({ kind: 'created' });
    expect(await bench().record(job.id)).toEqual(before);
  });

  it('the same key and request give the first job again', async () => {
    const first = keyed('key', 'print');
    const second = keyed('key', 'print');
    expect(await bench().records.create(first)).toEqual({ kind: 'created' });
    expect(await bench().records.create(second)).toEqual({ kind: 'replayed', jobId: first.id });
    expect(await bench().records.read(second.id)).toBeNull();
  });

  it('a repeated creation with the same id and key answers that the job was created', async () => {
    const job = keyed('key', 'print');
    await bench().records.create(job);
    expect(await bench().records.create(job)).toEqual({ kind: 'created' });
    expect((await bench().record(job.id)).rev).toBe(1);
  });

  it('the same key with another request is a mismatch, and makes nothing', async () => {
    await bench().records.create(keyed('key', 'print'));
    const other = keyed('key', 'other print');
    expect(await bench().records.create(other)).toEqual({ kind: 'mismatch' });
    expect(await bench().records.read(other.id)).toBeNull();
  });

  it('a key can be looked up without making anything', async () => {
    const used = { key: 'key', fingerprint: 'print' };
    expect(await bench().records.recall(used)).toBeNull();
    const { id } = keyed('key', 'print');
    await bench().records.create(newJob({}, { id, idempotency: used }));
    expect(await bench().records.recall(used)).toEqual({ kind: 'replayed', jobId: id });
    expect(await bench().records.recall({ ...used, fingerprint: 'other' })).toEqual({ kind: 'mismatch' });
  });

  it('one new job takes the place of the deleted one its key stood for', async () => {
    const first = keyed('key', 'print');
    await bench().records.create(first);
    const [next, late] = [0, 1].map(() =>
      newJob({}, { idempotency: { key: 'key', fingerprint: 'print', deleted: first.id } }),
    );
    if (next === undefined || late === undefined) throw new Error('two were made');
    expect(await bench().records.create(next)).toEqual({ kind: 'created' });
    expect(await bench().records.create(late)).toEqual({ kind: 'replayed', jobId: next.id });
    expect(await bench().records.read(late.id)).toBeNull();
  });

  it('a key is forgotten after a day', async () => {
    await bench().records.create(keyed('key', 'print'));
    await bench().advance(DAY_MS - 60_000);
    expect(await bench().records.create(keyed('key', 'other print'))).toEqual({ kind: 'mismatch' });
    await bench().advance(120_000);
    expect(await bench().records.recall({ key: 'key', fingerprint: 'print' })).toBeNull();
    expect(await bench().records.create(keyed('key', 'other print'))).toEqual({ kind: 'created' });
  });

  it('twenty creations with one key at once make one job', async () => {
    const jobs = Array.from({ length: 20 }, () => keyed('key', 'print'));
    const results = await Promise.all(jobs.map((job) => bench().records.create(job)));
    expect(results.filter(({ kind }) => kind === 'created')).toHaveLength(1);
    const records = await Promise.all(jobs.map(({ id }) => bench().records.read(id)));
    const [made, ...more] = records.filter((record) => record !== null);
    expect(more).toEqual([]);
    const replays = results.filter((result) => result.kind === 'replayed').map((result) => result.jobId);
    expect(replays).toEqual(Array(19).fill(made?.id));
  });

  it('a concurrency key that is not well-formed Unicode is taken all the same', async () => {
    const id = await submitted(bench(), { concurrencyKey: 'half a \ud83d pair' });
    expect((await bench().record(id)).status).toBe('queued');
    expect(await bench().claimsOf('n1').claim(1)).toMatchObject([{ jobId: id }]);
  });

  it('there is no record of a job that never was', async () => {
    expect(await bench().records.read('none')).toBeNull();
    expect(await bench().records.events('none', 0, 10)).toEqual([]);
  });

  it('events are read in pages', async () => {
    const claim = await running(bench());
    await bench().claimsOf('n1').finish(finishOf(claim));
    const all = await bench().records.events(claim.jobId, 0, 100);
    expect(all.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    expect(await bench().records.events(claim.jobId, 0, 3)).toEqual(all.slice(0, 3));
    expect(await bench().records.events(claim.jobId, 2, 100)).toEqual(all.slice(2));
    expect(await bench().records.events(claim.jobId, 4, 100)).toEqual([]);
    expect(await bench().records.events(claim.jobId, 9, 100)).toEqual([]);
  });

  it('only a finished job can be removed, and nothing of it stays', async () => {
    const id = await create(bench());
    expect(await bench().records.remove(id)).toBe(false);
    await bench().records.cancel(id, false, CANCELLED);
    expect(await bench().records.remove(id)).toBe(true);
    expect(await bench().records.read(id)).toBeNull();
    expect(await bench().records.events(id, 0, 10)).toEqual([]);
    expect((await bench().log()).at(-1)).toBe(`d ${id}`);
    expect(await bench().records.remove(id)).toBe(false);
    expect(await bench().records.remove('none')).toBe(false);
    expect(await bench().submissions.submit(id, 'e1')).toEqual({ kind: 'gone' });
  });

  it('the deletion of a job that Redis no longer has is in the log: every node deletes its copy', async () => {
    const id = await create(bench());
    await bench().records.cancel(id, false, CANCELLED);
    await bench().advance(KEEP_MS + 60_000);
    const actor = { id: 'alice', address: null, requestId: null };
    expect(await bench().records.remove(id, { actor, project: 'default' })).toBe(false);
    expect((await bench().log()).slice(-2)).toEqual([`u ${id}`, `d ${id}`]);
  });

  it('a running job cannot be removed', async () => {
    const { jobId } = await running(bench());
    expect(await bench().records.remove(jobId)).toBe(false);
  });

  it('a finished job is forgotten when its time is over, an unfinished one never', async () => {
    const ended = await create(bench());
    const waiting = await create(bench());
    await bench().records.cancel(ended, false, CANCELLED);
    await bench().advance(KEEP_MS - 60_000);
    expect(await bench().records.read(ended)).not.toBeNull();
    await bench().advance(120_000);
    expect(await bench().records.read(ended)).toBeNull();
    expect(await bench().records.events(ended, 0, 10)).toEqual([]);
    expect(await bench().records.read(waiting)).not.toBeNull();
  });
}
