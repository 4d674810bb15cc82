import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { createLogger } from '../../../src/logger.ts';
import { closeConnection, openConnection, untilReady } from '../../../src/redis/connection.ts';
import { createRedisDoorbells } from '../../../src/redis/doorbells.ts';
import { CLOSED_PORT } from '../../helpers/closed-port.ts';
import { startTestRedis } from '../../helpers/redis.ts';

it('a Redis that does not come is given up with a sentence that does not show the password', async () => {
  const logged: string[] = [];
  const logger = createLogger('debug', { write: (line) => void logged.push(line) });
  const redis = openConnection(`redis://user:hidden-word@127.0.0.1:${CLOSED_PORT}`, 'prompt', 'main', logger);
  onTestFinished(() => closeConnection(redis));

  const failure: unknown = await untilReady(redis, 200).catch((error: unknown) => error);

  const sentence = `^Redis at 127\\.0\\.0\\.1:${CLOSED_PORT} could not be reached in 0.2 s: .*ECONNREFUSED`;
  expect(failure).toMatchObject({
    code: 'redis.unavailable',
    message: expect.stringMatching(new RegExp(sentence)),
  });
  expect(logged.join('')).toContain('redis connection failed');
  expect(`${failure}${logged.join('')}`).not.toContain('hidden-word');
});

it('a connection that is closed in the moment it is restored leaves no error behind', async () => {
  const server = await startTestRedis();
  const logger = createLogger('silent');
  const redis = openConnection(server.url, 'patient', 'main', logger);
  const subscriber = openConnection(server.url, 'patient', 'main-sub', logger);
  onTestFinished(async () => {
    for (const connection of [redis, subscriber]) closeConnection(connection);
    await server.stop();
  });
  await createRedisDoorbells(redis, subscriber, logger).listen('channel', () => undefined);
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', note);
  onTestFinished(() => void process.off('unhandledRejection', note));

  const restored = once(subscriber, 'ready');
  await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await restored;
  closeConnection(subscriber);
  subscriber.stream.destroy(); // before Redis can answer
  await delay(50);

  expect(unhandled).toEqual([]);
});
