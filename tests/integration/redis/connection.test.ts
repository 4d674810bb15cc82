import { expect, it, onTestFinished } from 'vitest';
import { createLogger } from '../../../src/logger.ts';
import { closeConnection, openConnection, untilReady } from '../../../src/redis/connection.ts';
import { freeLoopbackPort } from '../../../src/redis/private/server-process.ts';

it('a Redis that does not come is given up with a sentence that does not show the password', async () => {
  const logged: string[] = [];
  const logger = createLogger('debug', { write: (line) => void logged.push(line) });
  const port = await freeLoopbackPort();
  const redis = openConnection(`redis://user:hidden-word@127.0.0.1:${port}`, 'prompt', 'main', logger);
  onTestFinished(() => closeConnection(redis));

  const failure: unknown = await untilReady(redis, 200).catch((error: unknown) => error);

  const sentence = `^Redis at 127\\.0\\.0\\.1:${port} could not be reached in 0.2 s: .*ECONNREFUSED`;
  expect(failure).toMatchObject({
    code: 'redis.unavailable',
    message: expect.stringMatching(new RegExp(sentence)),
  });
  expect(logged.join('')).toContain('redis connection failed');
  expect(`${failure}${logged.join('')}`).not.toContain('hidden-word');
});
