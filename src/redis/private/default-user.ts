import { Redis } from 'ioredis';
import { REDIS_USER } from './server-files.ts';

const TIMEOUT_MS = 10_000;

/**
 * Gives the user without a password its rules, over a connection of its own.
 *
 * @throws what Redis or the connection answers
 */
export async function setDefaultUser(
  port: number,
  password: string,
  rules: readonly string[],
): Promise<void> {
  const redis = new Redis({
    host: '127.0.0.1',
    port,
    username: REDIS_USER,
    password,
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: TIMEOUT_MS,
    commandTimeout: TIMEOUT_MS,
  });
  redis.on('error', () => {}); // the call rejects with it
  try {
    await redis.connect();
    await redis.call('ACL', 'SETUSER', 'default', ...rules);
  } finally {
    redis.disconnect();
  }
}
