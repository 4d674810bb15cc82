/**
 * Connections to Redis: how they retry, what their errors become, and what is logged about them.
 */
import { type Command, Redis, type RedisOptions } from 'ioredis';
import { AppError, messageOf } from '../errors.ts';
import { createLogLimit, type Log } from '../log.ts';
import { backoffMs } from '../timing.ts';
import { isReply, redisError, wordOf } from './redis-error.ts';

const READY_WITHIN_MS = 30_000;

/**
 * The main process's connections: one each for commands, for messages, and for the log's blocking
 * read.
 */
export interface RedisConnections {
  readonly commands: Redis;
  readonly subscriber: Redis;
  readonly blocking: Redis;
  /** Time since the last gap in the answers to commands; 0 while there is none. */
  inTouchForMs(): number;
  close(): void;
}

/** @throws AppError redis.unavailable when Redis does not answer within 30 s */
export async function openRedis(url: string, logger: Log): Promise<RedisConnections> {
  const commands = openConnection(url, 'prompt', 'main', logger);
  const subscriber = openConnection(url, 'patient', 'main-sub', logger);
  const blocking = openConnection(url, 'patient', 'main-log', logger);
  const closeAll = (): void => [commands, subscriber, blocking].forEach(closeConnection);
  try {
    await untilReady(commands, READY_WITHIN_MS);
  } catch (error) {
    closeAll(); // or they would go on trying to connect
    throw error;
  }
  const contact = watchContact(commands);
  return {
    commands,
    subscriber,
    blocking,
    inTouchForMs: contact.inTouchForMs,
    close() {
      contact.stop();
      closeAll();
    },
  };
}

/**
 * How a connection behaves while Redis is away.
 * - `prompt`: a command fails at once, or after `COMMAND_TIMEOUT_MS` without an answer. For HTTP
 *   and for everything that tries again by itself. Commands in flight fail too, instead of running
 *   twice.
 * - `patient`: a command waits until Redis is back. For blocking reads and the sandboxed workers.
 * - `bullmq`: like `patient`, but errors stay those of ioredis, because BullMQ examines them.
 */
export type ConnectionMode = 'prompt' | 'patient' | 'bullmq';

const COMMAND_TIMEOUT_MS = 1900; // docs/api.md: while Redis is away, 503 within 2 s

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

const RECONNECT = { firstMs: 40, maxMs: 1000 };

/**
 * Opens a connection, which connects in the background. Connection errors are logged once per
 * outage. Refusals (wrong rights, wrong data) are logged once a minute per cause.
 * @param url `redis://`, `rediss://`, or `unix://USER:PASSWORD@localhost/PATH` for a socket
 */
export function openConnection(url: string, mode: ConnectionMode, name: string, logger: Log): Redis {
  let isClosed = false;
  const options = {
    ...OPTIONS[mode],
    connectionName: `bullpen-${name}`,
    // doorbells.ts does that. An answer that ioredis would miss here could not be caught.
    autoResubscribe: false,
    disableClientInfo: true, // CLIENT SETINFO needs Redis 7.2, so ACL rules cannot name it
    retryStrategy: (failures: number) =>
      isClosed ? null : backoffMs(failures, RECONNECT) + Math.random() * 20,
    connectTimeout: 5000,
    keepAlive: 10_000,
  };
  const Client = mode === 'bullmq' ? Redis : TranslatingRedis;
  const redis = url.startsWith('unix:')
    ? new Client({ ...options, ...socketOf(url) })
    : new Client(url, options);
  endings.set(redis, () => {
    isClosed = true;
  });
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

/** Keeps a connection, and those that were duplicated from it, from connecting again. */
const endings = new WeakMap<Redis, () => void>();

/**
 * Closes a connection without waiting for Redis. One that BullMQ has duplicated from it may be
 * about to connect again, while Redis is frozen: it gives up.
 */
export function closeConnection(redis: Redis): void {
  endings.get(redis)?.();
  // A second disconnect() starts a timer that keeps the process alive for two seconds.
  if (redis.status !== 'end') redis.disconnect();
}

/** Why a connection cannot be used, for people; null when it can. */
export function whyDown(redis: Redis): string | null {
  if (redis.status === 'ready') return null;
  if (redis instanceof TranslatingRedis && redis.refused !== null) return redis.refused.message;
  return `cannot be reached: the connection is ${redis.status}`;
}

/**
 * Resolves when the connection can be used.
 * @throws AppError redis.unavailable after `timeoutMs`, with the last error; redis.refused at once
 *   when Redis refuses the login
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

/** Commands of the client itself before a connection is ready; it handles their errors. */
const HANDSHAKE = new Set(['hello', 'auth', 'client', 'select', 'info', 'readonly']);

/**
 * A client whose commands fail with the AppErrors of {@link redisError}, including in pipelines and
 * scripts.
 */
class TranslatingRedis extends Redis {
  /** Why the login was refused; commands that cannot be sent fail with it. */
  refused: AppError | null = null;
  /** Called for each reply that is an error and no outage. */
  onRefused: (command: string, error: AppError) => void = () => undefined;

  override sendCommand(...[command, stream]: Parameters<Redis['sendCommand']>): unknown {
    if (this.status !== 'connect' || !HANDSHAKE.has(command.name)) this.translate(command);
    return super.sendCommand(command, stream);
  }

  private translate(command: Command): void {
    const { reject } = command;
    command.reject = (error) => {
      // NOSCRIPT: the script runner then sends the script's text.
      if (messageOf(error).startsWith('NOSCRIPT')) return reject.call(command, error);
      const translated = isReply(error) ? redisError(error) : (this.refused ?? redisError(error));
      if (translated.code === 'redis.refused' && isReply(error)) this.onRefused(command.name, translated);
      reject.call(command, translated);
    };
  }
}

/** The parts of a `unix://` URL. ioredis reads such a URL too, but does not decode its path. */
function socketOf(url: string) {
  const { username, password, pathname } = new URL(url);
  return { path: decodeURIComponent(pathname), username, password };
}

/** The AppError for a refused login; null for any other error. */
function loginRefused(error: unknown): AppError | null {
  const translated = isReply(error) ? redisError(error) : null;
  if (translated?.code !== 'redis.refused') return null;
  return new AppError('redis.refused', `Redis refused the login: ${messageOf(error)}`, { cause: error });
}

function createRefusalLog(connection: string, logger: Log) {
  const logLimit = createLogLimit();
  return (command: string, error: AppError): void => {
    const times = logLimit(`${command} ${wordOf(error.cause)}`);
    if (times === null) return;
    const reason = messageOf(error.cause);
    logger.error({ connection, command, reason, times }, 'redis refused a command');
  };
}

const PING_MS = 2000;
/** This long without an answer is a gap, also while the connection stays open. */
const GAP_MS = 3 * PING_MS;

/** Measures the time without a gap in the answers, by the monotonic clock. */
function watchContact(redis: Redis): { inTouchForMs(): number; stop(): void } {
  let since: number | null = redis.status === 'ready' ? performance.now() : null;
  let lastAnswer = performance.now();
  const timer = setInterval(() => {
    redis.ping().then(
      () => {
        const now = performance.now();
        if (now - lastAnswer > GAP_MS) since = now;
        lastAnswer = now;
        since ??= now;
      },
      () => {
        since = null;
      },
    );
  }, PING_MS);
  timer.unref();
  redis.on('close', () => {
    since = null;
  });
  return {
    inTouchForMs() {
      const now = performance.now();
      // After a pause of this process its other timers may run before the next answer comes.
      return since === null || now - lastAnswer > GAP_MS ? 0 : now - since;
    },
    stop: () => clearInterval(timer),
  };
}
