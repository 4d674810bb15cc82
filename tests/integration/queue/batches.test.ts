import { describe, expect, it } from 'vitest';
import type { Batch, BatchCreated, JobListItem } from '../../../src/protocol/job.ts';
import { eventually } from '../../helpers/eventually.ts';
import { startServer, type TestServer } from '../../helpers/server.ts';
import { shared } from '../../helpers/shared.ts';
import { tempDir } from '../../helpers/temp.ts';
import { breakableRedis } from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 45_000 };
const CONFIG = {
  providers: { custom: { cat: { binary: 'cat' }, sleep: { binary: 'sleep', args: ['600'] } } },
};

/** One slot and one worker: most of what is made waits. */
const setUp = shared(async () => {
  const redis = await breakableRedis();
  const env = {
    REDIS_URL: redis.url,
    BULLPEN_CONCURRENCY: '1',
    BULLPEN_WORKERS: '1',
    BULLPEN_SWEEP_MS: '100',
  };
  return { redis, server: await startServer({ config: CONFIG, env }) };
});

async function make(server: TestServer, prompts: readonly object[]): Promise<BatchCreated> {
  const response = await server.api('POST', '/v1/batches', { prompts });
  expect(response.status).toBe(202);
  return (await response.json()) as BatchCreated; // the documented answer
}

async function read(server: TestServer, id: string): Promise<Batch> {
  return (await (await server.api('GET', `/v1/batches/${id}`)).json()) as Batch; // the documented answer
}

async function listed(server: TestServer, id: string): Promise<readonly JobListItem[]> {
  const response = await server.api('GET', `/v1/jobs?batch=${id}&limit=100`);
  return ((await response.json()) as { data: JobListItem[] }).data; // the documented answer
}

const many = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ prompt: `p${index}`, provider: 'cat' }));
const idsOf = ({ items }: BatchCreated): string[] => items.flatMap((item) => ('id' in item ? [item.id] : []));

describe('a batch', () => {
  it('runs every prompt once, with its own answer, beside one that is refused', async () => {
    const { server } = await setUp();
    const batch = await make(server, [...many(30), { prompt: 'x', provider: 'unknown' }]);
    expect(batch.items.at(-1)).toMatchObject({ index: 30, error: { code: 'provider.unknown' } });
    await eventually(async () => (await read(server, batch.id)).finished, PATIENCE);
    expect(await read(server, batch.id)).toMatchObject({ total: 30, counts: { succeeded: 30 } });
    const jobs = await Promise.all(idsOf(batch).map((id) => server.job(id)));
    expect(jobs.map((job) => [job.outcome?.text, job.attempts, job.batchId])).toEqual(
      many(30).map(({ prompt }) => [prompt, 1, batch.id]),
    );
    expect((await listed(server, batch.id)).map(({ id }) => id).sort()).toEqual(idsOf(batch).sort());
  });

  it('gives each customId back in the items, the jobs, the list and a retry', async () => {
    const { server } = await setUp();
    const prompts = many(2).map((prompt, index) => ({ ...prompt, customId: `row ${index}` }));
    const batch = await make(server, prompts);
    expect(batch.items.map(({ customId }) => customId)).toEqual(['row 0', 'row 1']);
    const [first = ''] = idsOf(batch);
    expect(await server.job(first)).toMatchObject({ prompt: 'p0', customId: 'row 0' });
    await eventually(async () => (await read(server, batch.id)).finished, PATIENCE);
    expect((await listed(server, batch.id)).map(({ customId }) => customId)).toEqual(['row 1', 'row 0']);
    const retried = await server.api('POST', `/v1/jobs/${first}/retry`);
    expect(await retried.json()).toMatchObject({ retryOf: first, customId: 'row 0', batchId: null });
  });

  it('is counted right after the server was killed and started again', async () => {
    const dir = tempDir();
    const redis = await breakableRedis();
    const env = { REDIS_URL: redis.url };
    const first = await startServer({ dir, config: CONFIG, env });
    const slow = { prompt: 'x', provider: 'cat', delayMs: 3_600_000 };
    const batch = await make(first, [...many(10), slow, slow]);
    await eventually(async () => (await read(first, batch.id)).counts.succeeded === 10, PATIENCE);
    await first.kill('SIGKILL');
    const second = await startServer({ dir, config: CONFIG, env });
    expect(await read(second, batch.id)).toMatchObject({
      finished: false,
      total: 12,
      counts: { succeeded: 10, scheduled: 2 },
    });
    // Without its record, the copies say the same.
    await redis.admin.del(`{bullpen}:batch:${batch.id}`, `{bullpen}:batch:${batch.id}:jobs`);
    const answer = await second.api('POST', `/v1/batches/${batch.id}/cancel`);
    expect([answer.status, await answer.json()]).toMatchObject([
      202,
      { finished: true, total: 12, counts: { succeeded: 10, cancelled: 2 } },
    ]);
    expect((await second.api('POST', `/v1/batches/${batch.id}/cancel`)).status).toBe(200);
  });

  it('whose entries BullMQ has lost runs all the same, behind a long queue too', async () => {
    const { redis, server } = await setUp();
    const [blocker = ''] = idsOf(await make(server, [{ prompt: 'x', provider: 'sleep' }]));
    await eventually(async () => (await server.job(blocker)).status === 'running', PATIENCE);
    const ahead = await make(server, many(250));
    const lost = await make(server, many(3));
    for (const id of idsOf(lost)) {
      expect(await redis.admin.zrem('{bullpen}:prompts:delayed', id)).toBe(1);
      await redis.admin.del(`{bullpen}:prompts:${id}`);
    }
    const cancelled = await server.api('POST', `/v1/batches/${ahead.id}/cancel`);
    expect(await cancelled.json()).toMatchObject({ counts: { cancelled: 250 } });
    await server.api('POST', `/v1/jobs/${blocker}/cancel`, { force: true });
    await eventually(async () => (await read(server, lost.id)).counts.succeeded === 3, PATIENCE);
  });

  it('is counted exactly at once, and the list comes to show all of it', async () => {
    const { server } = await setUp();
    const later = many(250).map((prompt) => ({ ...prompt, delayMs: 3_600_000 }));
    const [first, second] = await Promise.all([make(server, later), make(server, later)]);
    for (const { id } of [first, second]) {
      expect(await read(server, id)).toMatchObject({ total: 250, counts: { scheduled: 250 } });
      const newest = idsOf(id === first.id ? first : second)
        .sort()
        .reverse()
        .slice(0, 100);
      await eventually(async () => {
        const shown = await listed(server, id);
        return shown.length === 100 && shown.every((job, index) => job.id === newest[index]);
      }, PATIENCE);
    }
    expect(new Set([...idsOf(first), ...idsOf(second)]).size).toBe(500);
  });
});
