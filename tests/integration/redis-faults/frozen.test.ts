import { describe, expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import {
  accepted,
  expectHealthyLog,
  expectOneExecution,
  expectPromptRefusal,
  isReady,
  PROMPTLY_MS,
  post,
  sharedBench,
  waitsInOutbox,
} from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const setUp = sharedBench();

describe('a Redis that is stopped, its connections open', () => {
  it('is answered with 503 in time, harms no running job, and is used again', async () => {
    const { redis, clis, server } = await setUp();
    const before = await accepted(server, { prompt: clis.held('before', 'ends before') });
    const during = await accepted(server, { prompt: clis.held('during', 'ends in between') });
    await eventually(() => clis.prompted() === 2, PATIENCE);

    await redis.pause();
    try {
      clis.open('during');
      const answers = await Promise.all(
        Array.from({ length: 5 }, (_, at) => post(server, '/v1/jobs', { provider: 'echo', prompt: `${at}` })),
      );
      for (const answer of answers) expectPromptRefusal(answer);
      expectPromptRefusal(await post(server, `/v1/jobs/${before}/cancel`, {}));
      expect(await isReady(server)).toBe(false);
      await eventually(() => waitsInOutbox(server, during), PATIENCE);
    } finally {
      await redis.resume();
    }
    await eventually(() => isReady(server), PATIENCE);
    const after = await accepted(server, { provider: 'echo', prompt: 'after' });

    // A cancel that was answered with 503 may have been accepted.
    clis.open('before');
    for (const [id, text] of [
      [during, 'ends in between'],
      [after, 'after'],
    ] as const) {
      const job = await server.finished(id);
      expect(job).toMatchObject({ status: 'succeeded', outcome: { text } });
      await expectOneExecution(server, clis, job);
    }
    expect(['succeeded', 'cancelled']).toContain((await server.finished(before)).status);
    expectHealthyLog(server);
  });

  it('is answered in time also when many ask for lists at once', async () => {
    const { redis, server } = await setUp();
    await server.run({ provider: 'echo', prompt: 'one' });

    await redis.pause();
    try {
      const asked = Array.from({ length: 6 }, async () => {
        const began = performance.now();
        const { status } = await server.api('GET', '/v1/jobs');
        return { status, ms: performance.now() - began };
      });
      for (const { status, ms } of await Promise.all(asked)) {
        expect(status).toBe(503);
        expect(ms).toBeLessThan(PROMPTLY_MS);
      }
    } finally {
      await redis.resume();
    }
    await eventually(async () => (await server.api('GET', '/v1/jobs')).status === 200, PATIENCE);
  });
});
