import { UnrecoverableError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { createPromptQueue } from '../../../src/queue/prompt-queue.ts';
import { createNames } from '../../../src/redis/names.ts';
import { eventually } from '../../helpers/eventually.ts';
import { startTestRedis } from '../../helpers/redis.ts';

it('an entry is removed when its worker releases it, and when its job has grown old', async () => {
  const redis = await startTestRedis();
  const connection = new Redis(redis.url, { maxRetriesPerRequest: null });
  const names = createNames({ prefix: 'entries', requestChannel: 'q', responseChannel: 'a' });
  const queue = createPromptQueue(connection, names);
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const work = async (): Promise<never> => {
    await released;
    throw new UnrecoverableError('failed');
  };
  const worker = new Worker(names.queue, work, { connection, prefix: names.prefix, concurrency: 2 });
  onTestFinished(async () => {
    await worker.close();
    await queue.close();
    connection.disconnect();
    await redis.stop();
  });
  const counts = () => queue.queue.getJobCounts('active', 'failed');

  await queue.addAll(['deleted', 'old'].map((id) => ({ id, delayMs: 0 })));
  await eventually(async () => expect(await counts()).toMatchObject({ active: 2 }));
  expect(await queue.remove('deleted')).toBe(false);
  expect(await counts()).toMatchObject({ active: 2 }); // a worker holds it
  release();
  await eventually(async () => expect(await counts()).toMatchObject({ failed: 2 }));
  expect(await queue.remove('deleted')).toBe(true);
  expect(await queue.remove('deleted')).toBe(true); // there is none
  expect(await queue.queue.getFailed()).toMatchObject([{ id: 'old' }]);

  await queue.forgetOlder(60_000);
  expect(await counts()).toMatchObject({ failed: 1 });
  await queue.forgetOlder(0);
  expect(await counts()).toMatchObject({ failed: 0 });
});
