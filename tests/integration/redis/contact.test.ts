/** A Redis that does not answer, with a clock that the test moves. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { createLogger } from '../../../src/logger.ts';
import { openRedis } from '../../../src/redis/connection.ts';
import { eventually } from '../../helpers/eventually.ts';
import { startTestRedis } from '../../helpers/redis.ts';

const PING_MS = 2000;

async function connected() {
  const server = await startTestRedis({ fsync: 'everysec' });
  onTestFinished(() => server.stop());
  const clock = ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'performance'] as const;
  vi.useFakeTimers({ toFake: [...clock] });
  onTestFinished(() => void vi.useRealTimers());
  const redis = await openRedis(server.url, createLogger('silent'));
  onTestFinished(() => redis.close());
  return { server, redis };
}

it('a command that a frozen Redis does not answer fails within the two seconds of docs/api.md', async () => {
  const { server, redis } = await connected();
  await server.pause();
  onTestFinished(() => server.resume());
  const answers = [redis.commands.get('key'), redis.commands.pipeline().get('a').get('b').exec()];
  const failures = Promise.allSettled(answers);
  vi.advanceTimersByTime(2000);
  const [single, pipeline] = await failures;
  const unavailable = expect.objectContaining({ code: 'redis.unavailable' });
  expect(single).toEqual({ status: 'rejected', reason: unavailable });
  expect(pipeline).toMatchObject({ status: 'fulfilled', value: [[unavailable], [unavailable]] });
});

it('the time in touch counts from the last gap in the answers, and is 0 during a gap', async () => {
  const { server, redis } = await connected();
  /** The next ping is sent, and Redis has answered it. */
  async function ping(times = 1): Promise<void> {
    for (let left = times; left > 0; left -= 1) {
      vi.advanceTimersByTime(PING_MS);
      await redis.commands.ping();
    }
  }

  await ping(5);
  expect(redis.inTouchForMs()).toBe(5 * PING_MS);

  // A frozen Redis leaves the connection open.
  await server.pause();
  vi.advanceTimersByTime(2 * PING_MS); // the first ping has had no answer in time
  await eventually(() => expect(redis.inTouchForMs()).toBe(0));
  expect(redis.commands.status).toBe('ready');
  await server.resume();
  await redis.commands.ping();
  await ping(3);
  expect(redis.inTouchForMs()).toBe(3 * PING_MS);

  // This process was stopped: its clock went on, and it read no answer.
  vi.advanceTimersByTime(100 * PING_MS);
  expect(redis.inTouchForMs()).toBe(0);
  await redis.commands.ping();
  expect(redis.inTouchForMs()).toBe(0);
  await ping(2);
  expect(redis.inTouchForMs()).toBe(2 * PING_MS);

  redis.commands.stream.destroy();
  await eventually(() => expect(redis.inTouchForMs()).toBe(0));
});
