import { describe, expect, it } from 'vitest';
import type { Batch, BatchCreated, JobListItem } from '../../../src/protocol/job.ts';
import { eventually } from '../../helpers/eventually.ts';
import { startServer, type TestServer } from '../../helpers/server.ts';
import { shared } from '../../helpers/shared.ts';
import { breakableRedis } from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 45_000 };
const NDJSON = { accept: 'application/x-ndjson' };
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
  const start = (dir?: string) => startServer({ config: CONFIG, env, ...(dir !== undefined && { dir }) });
  return { redis, server: await start(), start };
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

interface Line {
  readonly cursor: string;
  readonly kind: string;
}

/** The events after a cursor, to the end of the stream. */
async function events(server: TestServer, id: string, after: string | null): Promise<readonly Line[]> {
  const query = after === null ? '' : `?after=${after}`;
  const response = await server.api('GET', `/v1/batches/${id}/events${query}`, undefined, NDJSON);
  if (response.status === 204) return [];
  expect(response.status).toBe(200);
  const text = await response.text();
  return text.split('\n').flatMap((line): Line[] => (line === '' ? [] : [JSON.parse(line)]));
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

  it('is followed from its counts over the changes of its jobs to its end, and resumed', async () => {
    const { server } = await setUp();
    const [{ id }, other] = [
      await make(
        server,
        ['cat', 'sleep'].map((provider) => ({ prompt: 'x', provider })),
      ),
      await make(server, many(1)),
    ];
    const following = events(server, id, null);
    await eventually(async () => {
      expect((await read(server, id)).counts).toMatchObject({ succeeded: 1, running: 1 });
    }, PATIENCE);
    await server.api('POST', `/v1/batches/${id}/cancel`, { force: true });
    const lines = await following;
    expect(lines[0]).toMatchObject({ kind: 'batch.changed', total: 2 });
    expect(lines.at(-1)).toMatchObject({
      ...{ kind: 'batch.finished', total: 2 },
      counts: { succeeded: 1, cancelled: 1, queued: 0, running: 0 },
    });
    expect(lines.filter(({ kind }) => kind === 'job.finished')).toHaveLength(2);

    // A reader that left in the middle gets the rest, one that has everything gets 204.
    const ends = lines.findIndex(({ kind }) => kind === 'job.finished');
    const rest = await events(server, id, lines[ends]?.cursor ?? '');
    expect(rest.filter(({ kind }) => kind === 'job.finished')).toHaveLength(1);
    expect(rest.at(-1)?.kind).toBe('batch.finished');
    expect(await events(server, id, lines.at(-1)?.cursor ?? '')).toEqual([]);

    // A reader that comes to an ended batch gets its counts alone.
    await eventually(async () => {
      const late = await events(server, other.id, null);
      return expect(late.map(({ kind }) => kind)).toEqual(['batch.finished']);
    });
    const foreign = await server.api('GET', '/v1/batches/no-id/events', undefined, NDJSON);
    expect(foreign.status).toBe(404);
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

  it('is counted right after the server was killed and started again', async () => {
    const { redis, server: first, start } = await setUp(); // the last test with it
    const slow = { prompt: 'x', provider: 'cat', delayMs: 3_600_000 };
    const batch = await make(first, [...many(10), slow, slow]);
    await eventually(async () => (await read(first, batch.id)).counts.succeeded === 10, PATIENCE);
    await first.kill('SIGKILL');
    const second = await start(first.dir);
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
});
