/** The folder of one private server: paths, permissions, password and configuration. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../errors.ts';

/** When Redis syncs its append-only file: before each answer, or once a second. */
export type FsyncPolicy = 'always' | 'everysec';

/** The paths of one private server, inside its folder. */
export interface ServerPaths {
  readonly config: string;
  readonly acl: string;
  readonly password: string;
  readonly port: string;
  /** Socket for our own processes; null when its path would be too long. */
  readonly socket: string | null;
  readonly pid: string;
  readonly lock: string;
  readonly log: string;
  /** The server's working directory, which holds its append-only file. */
  readonly data: string;
}

/** `sun_path` (unix(7)) has 108 bytes, and 104 on macOS. */
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

/** Creates the folders. Removes other users' access, including from existing ones. */
export async function prepareFolders(dir: string): Promise<void> {
  for (const folder of [dir, serverPaths(dir).data]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
  }
}

/**
 * Returns Bullpen's password, creating it on the first call. It is kept: a client's URL survives a
 * restart.
 */
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

/** Writes a file of mode 0600 by a rename: a reader never sees half of it. */
export async function writePrivate(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}.tmp`;
  await writeFile(draft, text, { mode: 0o600 });
  await rename(draft, file);
}

/** Returns the text of a file, or null when it does not exist. */
export async function readOrNull(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Returns the server's configuration file. It holds no secret. */
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
    // A crash may leave half a command at the end. It was never acknowledged.
    'aof-load-truncated yes',
    'save ""',
    'maxmemory-policy noeviction',
    'always-show-logo no',
    '',
  ].join('\n');
}

/**
 * Quotes a word of redis.conf. The file has double quotes and backslash escapes, and one entry a
 * line.
 */
function quoted(path: string): string {
  if (path.includes('\n')) {
    throw new AppError('config.invalid', 'The data folder must not have a line break in its path');
  }
  return `"${path.replace(/[\\"]/g, '\\$&')}"`;
}
