import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../errors.ts';

/** The named user Bullpen connects as. */
export const REDIS_USER = 'bullpen';

/** When the append-only file reaches the disk: before each answer, or once a second. */
export type FsyncPolicy = 'always' | 'everysec';

/** Where everything of one private server lies, inside its folder. */
export interface ServerPaths {
  readonly config: string;
  readonly acl: string;
  readonly password: string;
  readonly port: string;
  /** The socket of its own processes; null where the path would be too long for one. */
  readonly socket: string | null;
  readonly pid: string;
  readonly lock: string;
  readonly log: string;
  /** The server's working directory: its append-only file. */
  readonly data: string;
}

/** `sun_path` of unix(7) has 108 bytes, 104 on macOS. */
const MAX_SOCKET_PATH_BYTES = 100;

export function serverPaths(dir: string): ServerPaths {
  const socket = join(dir, 'redis.sock');
  return {
    config: join(dir, 'redis.conf'),
    acl: join(dir, 'users.acl'),
    password: join(dir, 'password'),
    port: join(dir, 'port'),
    socket: Buffer.byteLength(socket) <= MAX_SOCKET_PATH_BYTES ? socket : null,
    pid: join(dir, 'redis.pid'),
    lock: join(dir, 'lock'),
    log: join(dir, 'redis.log'),
    data: join(dir, 'data'),
  };
}

/** Makes the folders, readable by their owner only also when they were there before. */
export async function prepareFolders(dir: string): Promise<void> {
  for (const folder of [dir, serverPaths(dir).data]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
  }
}

/** The password of {@link REDIS_USER}: kept over restarts, so that a client's URL stays good. */
export async function loadPassword(file: string): Promise<string> {
  const kept = (await readOrNull(file))?.trim();
  if (kept) {
    await chmod(file, 0o600);
    return kept;
  }
  const password = randomBytes(32).toString('hex');
  await writePrivate(file, `${password}\n`);
  return password;
}

/** Writes a file of mode 0600, whole or not at all. */
export async function writePrivate(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}.tmp`;
  await writeFile(draft, text, { mode: 0o600 });
  await rename(draft, file);
}

/** The text of a file, or null when there is none. */
export async function readOrNull(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** The server's settings. No secret is among them. */
export function renderConfig(options: {
  readonly paths: ServerPaths;
  readonly port: number;
  readonly fsync: FsyncPolicy;
}): string {
  const { paths, port, fsync } = options;
  return [
    'bind 127.0.0.1',
    `port ${port}`,
    ...(paths.socket === null ? [] : [`unixsocket ${quoted(paths.socket)}`, 'unixsocketperm 700']),
    'protected-mode yes',
    'tcp-backlog 128',
    'daemonize no',
    `dir ${quoted(paths.data)}`,
    `aclfile ${quoted(paths.acl)}`,
    'appendonly yes',
    `appendfsync ${fsync}`,
    // A crash may leave half a command at the end: it was never acknowledged, so it may go.
    'aof-load-truncated yes',
    'save ""',
    'maxmemory-policy noeviction',
    'always-show-logo no',
    '',
  ].join('\n');
}

/**
 * The users while the server reads its data: Bullpen's own may do everything, and nobody can log in as the
 * default one, which may do everything too. Redis replays each transaction of its append-only file, so the
 * writes of every script, as that user, and one it may not do is lost without an error (redis/redis#14541,
 * valkey-io/valkey#3983). {@link defaultUserRules} take it all away when the data is there.
 */
export function renderAcl(
  password: string,
  worker: { readonly name: string; readonly password: string; readonly rules: readonly string[] },
): string {
  const hash = (text: string): string => `#${createHash('sha256').update(text).digest('hex')}`;
  return [
    `user ${REDIS_USER} on ${hash(password)} ~* &* +@all`,
    'user default off resetpass ~* &* +@all',
    `user ${worker.name} on ${hash(worker.password)} ${worker.rules.join(' ')}`,
    '',
  ].join('\n');
}

/**
 * What a client without a password may do: PING, and PUBLISH and SUBSCRIBE on the two channels, which is what
 * redis-cli needs for debugging. `COMMAND DOCS` is what redis-cli asks on an interactive connect; it says
 * nothing about the data. For `ACL SETUSER default`.
 *
 * @throws AppError `config.invalid` for a channel name that would be a pattern or end the word
 */
export function defaultUserRules(options: ChannelNames): readonly string[] {
  const allowed = ['+ping', '+publish', '+subscribe', '+unsubscribe', '+command|docs'];
  return ['reset', 'resetchannels', 'on', 'nopass', ...channelRules(options), ...allowed];
}

interface ChannelNames {
  readonly requestChannel: string;
  readonly responseChannel: string;
}

/**
 * The two channels as rules.
 * @throws AppError `config.invalid` for a channel name that would be a pattern or end the word
 */
export function channelRules(options: ChannelNames): readonly string[] {
  const channels = [options.requestChannel, options.responseChannel];
  for (const channel of channels) {
    if (/^[^\s*?[\]\\"']+$/.test(channel)) continue;
    throw new AppError(
      'config.invalid',
      `The channel name ${JSON.stringify(channel)} must not be empty or hold spaces, quotes or pattern characters`,
    );
  }
  return channels.map((name) => `&${name}`);
}

/** A word of redis.conf, which knows double quotes and backslash escapes and is read line by line. */
function quoted(path: string): string {
  if (path.includes('\n')) {
    throw new AppError('config.invalid', 'The data folder must not have a line break in its path');
  }
  return `"${path.replace(/[\\"]/g, '\\$&')}"`;
}
