/** The users of the private server and what each may do. */
import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { AppError } from '../../errors.ts';

/** The user Bullpen connects as. It may do everything. */
export const REDIS_USER = 'bullpen';
/** The user of the sandboxed workers. */
export const WORKER_USER = 'bullpen-worker';

interface ChannelNames {
  readonly requestChannel: string;
  readonly responseChannel: string;
}

/**
 * Returns the ACL file that is in force while the server reads its data.
 *
 * The default user may do everything then, but no client can log in as it. Redis replays each
 * transaction of its append-only file, and so the writes of every script, as the default user. It
 * drops a write that this user may not do, without an error (redis/redis#14541,
 * valkey-io/valkey#3983). When the data is loaded, {@link setDefaultUser} takes these rights away.
 */
export function renderAcl(
  password: string,
  worker: { readonly password: string; readonly rules: readonly string[] },
): string {
  const hash = (text: string): string => `#${createHash('sha256').update(text).digest('hex')}`;
  return [
    `user ${REDIS_USER} on ${hash(password)} ~* &* +@all`,
    'user default off resetpass ~* &* +@all',
    `user ${WORKER_USER} on ${hash(worker.password)} ${worker.rules.join(' ')}`,
    '',
  ].join('\n');
}

/**
 * Returns the rules of a client without a password: PING, and PUBLISH and SUBSCRIBE on the two
 * channels, which redis-cli needs for debugging. redis-cli also sends `COMMAND DOCS` on an
 * interactive connect; the answer holds no data.
 *
 * @throws AppError `config.invalid` for a channel name that is a pattern or breaks the rule
 */
export function defaultUserRules(channels: ChannelNames): readonly string[] {
  const allowed = ['+ping', '+publish', '+subscribe', '+unsubscribe', '+command|docs'];
  return ['reset', 'resetchannels', 'on', 'nopass', ...channelRules(channels), ...allowed];
}

const TIMEOUT_MS = 10_000;

/**
 * Gives the default user its rules, over a connection of its own.
 * @throws Error of Redis or of the connection
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

/**
 * The keys that the script SUBMIT reads and writes. Only the main process may use BullMQ's keys.
 */
const WORKER_KEYS = [
  '',
  'job:*',
  'events:*',
  'session:*',
  'sevents:*',
  'lane:*',
  'log',
  'log:id',
  'due',
  'parked',
  'pinned',
  'ready*',
  'given:*',
  'released',
  'turns',
  'slots',
];

const WORKER_COMMANDS = [
  // for the connection
  'ping',
  'info', // whether Redis has read its data
  'client|setname',
  'subscribe',
  'unsubscribe',
  // for the script
  'eval',
  'evalsha',
  'time',
  'hkeys',
  'hincrby',
  'hmget',
  'hset',
  'exists',
  'zadd',
  'zcard',
  'zrange',
  'zrem',
  'sadd',
  'smembers',
  'srem',
  'xadd',
  'xdel',
  'xrange',
  'xrevrange',
  'xsetid',
  'del',
  'publish',
];

/**
 * Returns the rules of the workers' user, for `ACL SETUSER` and for an ACL file; docs/operations.md
 * prints them.
 */
export function workerRules(options: { readonly prefix: string } & ChannelNames): readonly string[] {
  const prefix = `{${options.prefix}}:`;
  return [
    'resetkeys',
    'resetchannels',
    ...WORKER_KEYS.map((key) => `~${prefix}${key}`),
    ...channelRules(options),
    `&${prefix}live:*`,
    '-@all',
    ...WORKER_COMMANDS.map((command) => `+${command}`),
  ];
}

/** @throws AppError `config.invalid` */
function channelRules({ requestChannel, responseChannel }: ChannelNames): readonly string[] {
  const channels = [requestChannel, responseChannel];
  for (const channel of channels) {
    if (/^[^\s*?[\]\\"']+$/.test(channel)) continue;
    throw new AppError(
      'config.invalid',
      `The channel name ${JSON.stringify(channel)} must not be empty or hold spaces, quotes or pattern characters`,
    );
  }
  return channels.map((name) => `&${name}`);
}
