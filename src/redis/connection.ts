import { type Command, Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import { createSeldom } from '../seldom.ts';
import { isReply, redisError, wordOf } from './redis-error.ts';

/**
 * How a connection behaves while Redis is away.
 * - `prompt`: fails at once, and each command within `commandTimeoutMs`: for HTTP and for everything that has
 *   its own way of trying again. In-flight commands of a broken connection fail instead of running twice.
 * - `patient`: waits for Redis to come back: for blocking reads and the sandboxed workers.
 * - `bullmq`: the same for BullMQ's workers, which look at the client's own errors: they are not translated.
 */
export type ConnectionMode = 'prompt' | 'patient' | 'bullmq';

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
  bullmq: { maxRetriesPerRequest: null },
} satisfies Record<ConnectionMode, RedisOptions>;

/** What the client itself sends before a connection is ready; it reads the errors. */
const HANDSHAKE = new Set(['hello', 'auth', 'client', 'select', 'info', 'readonly']);

/** A client whose every command fails with an AppError, as {@link redisError} says, also in a pipeline or a script. */
class TranslatingRedis extends Redis {
  /** Why the login was refused; commands that cannot be sent fail with it. */
  refused: AppError | null = null;
  /** Told of each answer that is no outage. */
  onRefused: (command: string, error: AppError) => void = () => undefined;

  override sendCommand(...[command, stream]: Parameters<Redis['sendCommand']>): unknown {
    if (this.status !== 'connect' || !HANDSHAKE.has(command.name)) this.translate(command);
    return super.sendCommand(command, stream);
  }

  private translate(command: Command): void {
    const { reject } = command;
    command.reject = (error) => {
      // The text of a script follows.
      if (messageOf(error).startsWith('NOSCRIPT')) return reject.call(command, error);
      const translated = isReply(error) ? redisError(error) : (this.refused ?? redisError(error));
      if (translated.code === 'redis.refused' && isReply(error)) this.onRefused(command.name, translated);
      reject.call(command, translated);
    };
  }
}

/** Where a `unix://` URL leads. ioredis reads such a URL too, but leaves the escapes in its path. */
function socketOf(url: string) {
  const { username, password, pathname } = new URL(url);
  return { path: decodeURIComponent(pathname), username, password };
}

/**
 * Opens a connection. It connects in the background; errors are logged once per outage, answers that say that rights or
 * data are wrong once a minute for each cause.
 * @param url `redis://`, `rediss://`, or `unix://USER:PASSWORD@localhost/PATH` for a socket
 */
export function openConnection(url: string, mode: ConnectionMode, name: string, logger: Logger): Redis {
  const options = {
    ...OPTIONS[mode],
    connectionName: `bullpen-${name}`,
    disableClientInfo: true, // CLIENT SETINFO: unknown before Redis 7.2, so no rule of a user can name it
    retryStrategy,
    connectTimeout: 5000,
    keepAlive: 10_000,
  };
  const Client = mode === 'bullmq' ? Redis : TranslatingRedis;
  const redis = url.startsWith('unix:')
    ? new Client({ ...options, ...socketOf(url) })
    : new Client(url, options);
  let down = false;
  redis.on('error', (error: unknown) => {
    const reason = messageOf(error);
    if (redis instanceof TranslatingRedis) redis.refused = loginRefused(error);
    if (!down && loginRefused(error) !== null)
      logger.error({ connection: name, reason }, 'redis refused the login');
    else if (!down) logger.warn({ connection: name, reason }, 'redis connection failed');
    down = true;
  });
  redis.on('ready', () => {
    if (redis instanceof TranslatingRedis) redis.refused = null;
    if (down) logger.info({ connection: name }, 'redis connection restored');
    down = false;
  });
  if (redis instanceof TranslatingRedis) redis.onRefused = createRefusalLog(name, logger);
  return redis;
}

/** The error of a login that Redis refuses for good; null for any other. */
function loginRefused(error: unknown): AppError | null {
  const translated = isReply(error) ? redisError(error) : null;
  if (translated?.code !== 'redis.refused') return null;
  return new AppError('redis.refused', `Redis refused the login: ${messageOf(error)}`, { cause: error });
}

function createRefusalLog(connection: string, logger: Logger) {
  const seldom = createSeldom();
  return (command: string, error: AppError): void => {
    const times = seldom(`${command} ${wordOf(error.cause)}`);
    if (times === null) return;
    const reason = messageOf(error.cause);
    logger.error({ connection, command, reason, times }, 'redis refused a command');
  };
}

/** Why a connection is not usable, in words for anybody; null when it is. */
export function whyDown(redis: Redis): string | null {
  if (redis.status === 'ready') return null;
  if (redis instanceof TranslatingRedis && redis.refused !== null) return redis.refused.message;
  return `cannot be reached: the connection is ${redis.status}`;
}

/**
 * Resolves when the connection is usable.
 * @throws AppError redis.unavailable after `timeoutMs`, with what kept it; redis.refused at once when the login is
 */
export async function untilReady(redis: Redis, timeoutMs: number): Promise<void> {
  if (redis.status === 'ready') return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let why = 'no answer';
  const { path, host, port } = redis.options;
  const where = path ?? `${host}:${port}`;
  const onError = (error: unknown): void => {
    why = messageOf(error);
    if (loginRefused(error) !== null)
      reject(new AppError('redis.refused', `Redis at ${where} refused the login: ${why}`, { cause: error }));
  };
  const timer = setTimeout(() => {
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
