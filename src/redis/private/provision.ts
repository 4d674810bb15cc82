import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, messageOf } from '../../errors.ts';
import { extractWithApt } from './provision-apt.ts';
import { findWithHomebrew } from './provision-homebrew.ts';
import { withProvisionLock } from './provision-lock.ts';
import { probeServerBinary, type RedisServerBinary } from './server-binary.ts';

export interface ProvisionOptions {
  readonly cacheDir: string;
  /** The search path on which package tools are looked for. */
  readonly path: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

const PROVISION_TIMEOUT_MS = 300_000;
const ABANDONED_AFTER_MS = 3_600_000;
const SERVER_LOCATIONS = ['usr/bin/redis-server', 'usr/bin/valkey-server'];
const ADVICE =
  'Install redis-server or valkey-server (6.2 or newer) so that it is on PATH, or set REDIS_URL to a running one.';

/** The server an earlier fetch left in the cache, if it still starts on this machine. */
export async function cachedRedisServer(cacheDir: string): Promise<RedisServerBinary | null> {
  return probeExtractedTree(join(cacheDir, await systemName()));
}

/**
 * Fetches a Redis server into the cache, as an ordinary user and without touching the system: packages of
 * the distribution on Debian and Ubuntu, what Homebrew has on macOS. Several processes may do so at once.
 *
 * @throws AppError `redis.unavailable` with what to install instead
 */
export async function provisionRedisServer(options: ProvisionOptions): Promise<RedisServerBinary> {
  const onProgress = options.onProgress ?? (() => {});
  const deadline = AbortSignal.timeout(PROVISION_TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  try {
    if (process.platform === 'darwin') return await findWithHomebrew({ path: options.path, signal });
    await mkdir(options.cacheDir, { recursive: true, mode: 0o700 });
    return await withProvisionLock(
      join(options.cacheDir, 'provision.lock'),
      async () => {
        // Whoever held the lock before us has probably done the work.
        const cached = await cachedRedisServer(options.cacheDir);
        return cached ?? (await fetchIntoCache(options.cacheDir, signal, onProgress));
      },
      signal,
    );
  } catch (error) {
    options.signal?.throwIfAborted();
    const why = deadline.aborted ? `it took longer than ${PROVISION_TIMEOUT_MS / 1000} s` : messageOf(error);
    throw new AppError(
      'redis.unavailable',
      `No Redis server was found, and none could be fetched: ${why}. ${ADVICE}`,
      { cause: error },
    );
  }
}

async function fetchIntoCache(
  cacheDir: string,
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Promise<RedisServerBinary> {
  await removeAbandoned(cacheDir);
  const workDir = await mkdtemp(join(cacheDir, 'tmp-'));
  try {
    const tree = await extractWithApt({ workDir, signal, onProgress });
    if (!(await probeExtractedTree(tree)))
      throw new Error('the fetched server does not start on this machine');
    const target = join(cacheDir, await systemName());
    // A tree that no longer starts gives way; a good one that another process just put there may go with
    // it, because ours is as good.
    await rename(target, join(workDir, 'replaced')).catch(() => {});
    await rename(tree, target).catch(() => {});
    const binary = await probeExtractedTree(target);
    if (!binary) throw new Error(`the fetched server could not be put into ${target}`);
    onProgress(`Redis ${binary.version} is in ${target}`);
    return binary;
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

async function probeExtractedTree(tree: string): Promise<RedisServerBinary | null> {
  const libraryPath = (await libraryFolders(tree)).join(':');
  for (const location of SERVER_LOCATIONS) {
    const binary = await probeServerBinary(join(tree, location), libraryPath || null);
    if (binary) return binary;
  }
  return null;
}

/** The multiarch folders (`usr/lib/x86_64-linux-gnu`) of an extracted tree. */
async function libraryFolders(tree: string): Promise<string[]> {
  const found: string[] = [];
  for (const parent of ['usr/lib', 'lib']) {
    const entries = await readdir(join(tree, parent), { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.isDirectory() && entry.name.includes('-linux-')) found.push(join(tree, parent, entry.name));
    }
  }
  return found;
}

/** A home may be shared by machines and containers: each distribution, release and processor has its own tree. */
async function systemName(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const field = (name: string) => new RegExp(`^${name}="?([\\w.-]+)`, 'm').exec(release)?.[1] ?? 'unknown';
  return `${field('ID')}-${field('VERSION_ID')}-${process.arch}`;
}

async function removeAbandoned(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    if (!name.startsWith('tmp-')) continue;
    const folder = join(cacheDir, name);
    const modifiedAt = await stat(folder).then(
      (found) => found.mtimeMs,
      () => Date.now(),
    );
    if (Date.now() - modifiedAt > ABANDONED_AFTER_MS) await rm(folder, { recursive: true, force: true });
  }
}
