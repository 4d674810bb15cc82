import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';

/**
 * How a connection behaves while Redis is away.
 * - `prompt`: fails at once, and each command within `commandTimeoutMs`: for HTTP and for everything that has
 *   its own way of trying again. In-flight commands of a broken connection fail instead of running twice.
 * - `patient`: waits for Redis to come back: for BullMQ's workers and for blocking reads.
 */
export type ConnectionMode = 'prompt' | 'patient';

const COMMAND_TIMEOUT_MS = 1900; // API.md: "Redis away: 503 within 2 s"

/** Backoff between connection attempts: quick at first, never more than a second. */
const retryStrategy = (times: number): number =>
  Math.min(1000, 20 * 2 ** Math.min(times, 6)) + Math.random() * 20;

const OPTIONS = {
  prompt: {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
  },
  patient: { maxRetriesPerRequest: null },
} satisfies Record<ConnectionMode, RedisOptions>;

/** Where a `unix://` URL leads. ioredis reads such a URL too, but leaves the escapes in its path. */
function socketOf(url: string) {
  const { username, password, pathname } = new URL(url);
  return { path: decodeURIComponent(pathname), username, password };
}

/**
 * Opens a connection. It connects in the background; errors are logged once per outage.
 * @param url `redis://`, `rediss://`, or `unix://USER:PASSWORD@localhost/PATH` for a socket
 */
export function openConnection(url: string, mode: ConnectionMode, name: string, logger: Logger): Redis {
  const options = {
    ...OPTIONS[mode],
    connectionName: `bullpen-${name}`,
    retryStrategy,
    connectTimeout: 5000,
    keepAlive: 10_000,
  };
  const redis = url.startsWith('unix:')
    ? new Redis({ ...options, ...socketOf(url) })
    : new Redis(url, options);
  let down = false;
  redis.on('error', (error: unknown) => {
    if (!down) logger.warn({ connection: name, reason: messageOf(error) }, 'redis connection failed');
    down = true;
  });
  redis.on('ready', () => {
    if (down) logger.info({ connection: name }, 'redis connection restored');
    down = false;
  });
  return redis;
}

/**
 * Resolves when the connection is usable.
 * @throws AppError redis.unavailable after `timeoutMs`, with what kept it
 */
export async function untilReady(redis: Redis, timeoutMs: number): Promise<void> {
  if (redis.status === 'ready') return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let why = 'no answer';
  const onError = (error: unknown): void => {
    why = messageOf(error);
  };
  const timer = setTimeout(() => {
    const { path, host, port } = redis.options;
    const where = path ?? `${host}:${port}`;
    const waited = `in ${timeoutMs / 1000} s: ${why}`;
    reject(new AppError('redis.unavailable', `Redis at ${where} could not be reached ${waited}`));
  }, timeoutMs);
  redis.once('ready', resolve);
  redis.on('error', onError);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    redis.off('ready', resolve);
    redis.off('error', onError);
  }
}

/** Ends a connection without waiting for a Redis that may not answer. */
export function closeConnection(redis: Redis): void {
  // Disconnecting twice arms a timer that nothing clears: it would keep the process for two seconds.
  if (redis.status !== 'end') redis.disconnect();
}
