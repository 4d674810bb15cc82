import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { startTestRedis, type TestRedis } from '../../helpers/redis.ts';

/** The helper other suites rest on: what it promises holds in a container and without one. */

async function start(): Promise<{ server: TestRedis; redis: Redis }> {
  const server = await startTestRedis();
  onTestFinished(() => server.stop());
  const redis = new Redis(server.url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  redis.on('error', () => {});
  onTestFinished(() => redis.disconnect());
  return { server, redis };
}

test('what was acknowledged survives kill and restart, on the same port', async () => {
  const { server, redis } = await start();
  await redis.set('kept', 'yes');

  await server.kill();
  await eventually(() => redis.status !== 'ready');
  await server.restart();

  expect(await redis.get('kept')).toBe('yes');
});

test('a paused server answers when it is resumed', async () => {
  const { server, redis } = await start();
  await redis.ping();

  await server.pause();
  let answered = false;
  const pong = redis.ping().finally(() => {
    answered = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(answered).toBe(false);
  await server.resume();

  expect(await pong).toBe('PONG');
});

test('redis-cli needs no password', async () => {
  const { server } = await start();

  expect(await server.cli('PUBLISH', 'claude:cli:requests', '{}')).toBe('0');
});
