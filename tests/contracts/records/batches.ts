import { ulid } from 'ulid';
import { expect, it } from 'vitest';
import type { BatchEntry, NewBatch } from '../../../src/records/batch-ports.ts';
import type { NewJob } from '../../../src/records/ports.ts';
import { KEEP_MS } from '../../helpers/redis-records.ts';
import type { Bench } from './bench.ts';
import { CANCELLED, CREATED_AT, newJob } from './samples.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const REFUSED: BatchEntry = {
  error: { code: 'request.invalid', message: 'no "good" 😀', retryable: false, errors: [] },
};

const newBatch = (rest: Partial<NewBatch> = {}): NewBatch => ({
  id: ulid(),
  project: 'default',
  principal: 'alice',
  createdAt: CREATED_AT,
  entries: [],
  idempotency: null,
  ...rest,
});
const jobsOf = (batch: string, count: number): NewJob[] =>
  Array.from({ length: count }, () => newJob({}, { batch }));

export function batches(bench: () => Bench): void {
  const open = async (rest: Partial<NewBatch> = {}): Promise<string> => {
    const batch = newBatch(rest);
    expect(await bench().batches.open(batch)).toEqual({ kind: 'created' });
    return batch.id;
  };
  it('a batch is in the log, and is kept as it was made', async () => {
    const entries = [
      { id: ulid(), customId: 'a' },
      { ...REFUSED, customId: 'b' },
    ];
    const id = await open({ project: 'web', entries });
    expect(await bench().log()).toEqual([`b ${id}`]);
    expect(await bench().batches.opened(id)).toEqual({
      ...{ id, project: 'web', principal: 'alice', createdAt: CREATED_AT, entries },
    });
    expect(await bench().batches.read(id)).toMatchObject({ refused: 1, jobs: [] });
    expect(await bench().batches.opened('none')).toBeNull();
  });

  const idsIn = async (id: string) => (await bench().batches.read(id))?.jobs.map((job) => job.id);

  it('a batch has its jobs in order, each as if it had been made alone', async () => {
    const id = await open({ principal: 'bob' });
    const plain = newJob({}, { batch: id });
    const delayed = newJob({ delayMs: 60_000, ttlMs: 1000 }, { batch: id });
    const inLane = newJob({ concurrencyKey: 'k', priority: 3 }, { batch: id, pin: 'n7', project: 'web' });
    await bench().batches.add(id, 0, [plain, delayed]);
    await bench().batches.add(id, 2, [inLane]);
    expect(await bench().batches.read(id)).toEqual({
      id,
      project: 'default',
      principal: 'bob',
      createdAt: CREATED_AT,
      refused: 0,
      jobs: [
        { id: plain.id, status: 'queued', project: plain.project },
        { id: delayed.id, status: 'scheduled', project: delayed.project },
        { id: inLane.id, status: 'queued', project: 'web' },
      ],
    });
    for (const job of [plain, inLane]) {
      const { id: _, batch: __, ...alone } = job;
      // Younger: in a lane of both it comes second.
      const twin = newJob({}, { ...alone, id: ulid(), createdAt: job.createdAt + 1 });
      await bench().records.create(twin);
      expect(await bench().record(job.id)).toEqual({
        ...(await bench().record(twin.id)),
        id: job.id,
        sessionId: job.id,
        batch: id,
        createdAt: job.createdAt,
        waitReason: null,
      });
      expect(await bench().kinds(job.id)).toEqual(await bench().kinds(twin.id));
    }
    expect(await bench().kinds(delayed.id)).toEqual(['job.scheduled']);
    expect((await bench().claimsOf('n7').claim(10)).map(({ jobId }) => jobId)).toContain(inLane.id);
  });

  it('there is no batch that never was, and one without jobs is empty', async () => {
    expect(await bench().batches.read('none')).toBeNull();
    const id = await open();
    expect(await idsIn(id)).toEqual([]);
  });

  it('adding the same jobs again, all or some, makes nothing twice', async () => {
    const id = await open();
    const jobs = jobsOf(id, 4);
    await bench().batches.add(id, 0, jobs.slice(0, 3));
    await bench().batches.add(id, 0, jobs.slice(0, 2));
    await bench().batches.add(id, 1, jobs.slice(1));
    expect(await idsIn(id)).toEqual(jobs.map((job) => job.id));
    for (const job of jobs) expect((await bench().record(job.id)).rev).toBe(1);
  });

  it('a job that was added and removed since is not made again', async () => {
    const id = await open();
    const jobs = jobsOf(id, 1);
    await bench().batches.add(id, 0, jobs);
    const [job] = jobs;
    await bench().records.cancel(job?.id ?? '', false, CANCELLED);
    await bench().records.remove(job?.id ?? '');
    await bench().batches.add(id, 0, jobs);
    expect(await bench().records.read(job?.id ?? '')).toBeNull();
    expect(await bench().batches.read(id)).toMatchObject({
      jobs: [{ id: job?.id, status: null, project: null }],
    });
  });

  it('jobs are not added past a gap, nor to a batch that is not there', async () => {
    const id = await open();
    const jobs = jobsOf(id, 2);
    await expect(bench().batches.add(id, 1, jobs)).rejects.toMatchObject({ code: 'redis.unavailable' });
    await expect(bench().batches.add('none', 0, jobs)).rejects.toMatchObject({ code: 'redis.unavailable' });
    expect(await idsIn(id)).toEqual([]);
    for (const job of jobs) expect(await bench().records.read(job.id)).toBeNull();
  });

  it('the same key and request give the first batch again, with what was refused and how far it came', async () => {
    const idempotency = { key: ulid(), fingerprint: 'print' };
    const entries: BatchEntry[] = [{ id: 'j1' }, REFUSED, { id: 'j2' }];
    const id = await open({ entries, idempotency });
    await bench().batches.add(id, 0, jobsOf(id, 1));
    const again = newBatch({ entries: [REFUSED], idempotency });
    const replayed = { kind: 'replayed', id, entries, added: 1 };
    expect(await bench().batches.open(again)).toEqual(replayed);
    expect(await bench().batches.recall(idempotency)).toEqual(replayed);
    expect(await bench().batches.read(again.id)).toBeNull();
  });

  it('the same key with another request is a mismatch, for jobs and batches alike', async () => {
    const idempotency = { key: ulid(), fingerprint: 'print' };
    expect(await bench().batches.recall(idempotency)).toBeNull();
    await open({ idempotency });
    const other = { ...idempotency, fingerprint: 'other' };
    expect(await bench().batches.recall(other)).toEqual({ kind: 'mismatch' });
    expect(await bench().batches.open(newBatch({ idempotency: other }))).toEqual({ kind: 'mismatch' });
    expect(await bench().records.create(newJob({}, { idempotency: other }))).toEqual({ kind: 'mismatch' });
  });

  it('twenty openings with one key at once make one batch', async () => {
    const idempotency = { key: ulid(), fingerprint: 'print' };
    const made = Array.from({ length: 20 }, () => newBatch({ idempotency }));
    const results = await Promise.all(made.map((batch) => bench().batches.open(batch)));
    expect(results.filter(({ kind }) => kind === 'created')).toHaveLength(1);
    const first = made[results.findIndex(({ kind }) => kind === 'created')];
    const replays = results.filter((result) => result.kind === 'replayed').map((result) => result.id);
    expect(replays).toEqual(Array(19).fill(first?.id));
  });

  it('it is known for a day, also when its jobs are forgotten sooner', async () => {
    const id = await open();
    const jobs = jobsOf(id, 2);
    await bench().batches.add(id, 0, jobs);
    await bench().records.cancel(jobs[0]?.id ?? '', false, CANCELLED);
    expect(KEEP_MS).toBeLessThan(DAY_MS);
    await bench().advance(DAY_MS - 60_000);
    expect(await bench().batches.read(id)).toMatchObject({
      jobs: [{ status: null }, { status: 'queued' }],
    });
    await bench().advance(120_000);
    expect(await bench().batches.read(id)).toBeNull();
    expect(await bench().record(jobs[1]?.id ?? '')).toMatchObject({ batch: id, status: 'queued' });
  });
}
