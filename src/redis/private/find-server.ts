/**
 * Finds a Redis or Valkey server: on the search path, in the cache, or by fetching one into the
 * cache.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { AppError, messageOf } from '../../errors.ts';
import { tryLock } from '../../file-lock.ts';
import { extractWithApt } from './provision-apt.ts';

const execFileAsync = promisify(execFile);

/** A server executable that starts on this machine. */
export interface RedisServerBinary {
  /** Absolute path of `redis-server` or `valkey-server`. */
  readonly path: string;
  /** The version it reports, for example `7.0.15`. */
  readonly version: string;
  /** `LD_LIBRARY_PATH` it needs; null for a server that was installed on the system. */
  readonly libraryPath: string | null;
}

export interface FindRedisServerOptions {
  /** Folder where a fetched server is kept. */
  readonly cacheDir: string;
  /** Search path for servers and package tools, in the form of `PATH`. */
  readonly path: string;
  readonly signal?: AbortSignal;
  /** Called with each step of a fetch; never called when a server is available. */
  readonly onProgress?: (line: string) => void;
}

/** The oldest server that has all the commands Bullpen and BullMQ use. */
const MIN_SERVER_VERSION = '6.2.0';
const SERVER_NAMES = ['redis-server', 'valkey-server'];
const PROBE_TIMEOUT_MS = 10_000;

/**
 * Returns a Redis or Valkey server of at least 6.2: from the search path, else from the cache, else
 * fetched into the cache without touching the system.
 *
 * @throws AppError `redis.unavailable` when there is none and none can be fetched; the message says
 * what to install
 */
export async function findRedisServer(options: FindRedisServerOptions): Promise<RedisServerBinary> {
  for (const candidate of SERVER_NAMES.flatMap((name) => executablesOnPath(name, options.path))) {
    const binary = await probeServerBinary(candidate, null);
    if (binary) return binary;
  }
  return (await cachedRedisServer(options.cacheDir)) ?? (await provisionRedisServer(options));
}

/** Returns every executable called `name` on the search path, in its order. */
export function executablesOnPath(name: string, path: string): string[] {
  return path
    .split(delimiter)
    .filter(isAbsolute)
    .map((folder) => join(folder, name))
    .filter(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs `path --version` with the given library path.
 * @returns null when the server does not start here or is too old
 */
export async function probeServerBinary(
  path: string,
  libraryPath: string | null,
): Promise<RedisServerBinary | null> {
  const env = libraryPath === null ? {} : { LD_LIBRARY_PATH: libraryPath };
  try {
    const { stdout } = await execFileAsync(path, ['--version'], { env, timeout: PROBE_TIMEOUT_MS });
    const version = parseServerVersion(stdout);
    return version !== null && isAtLeast(version, MIN_SERVER_VERSION) ? { path, version, libraryPath } : null;
  } catch {
    // It does not start. The search goes on with the next candidate.
    return null;
  }
}

/**
 * Returns the version in the output of `redis-server --version` or `valkey-server --version`, or
 * null.
 */
export function parseServerVersion(output: string): string | null {
  return /\bv=(\d+\.\d+\.\d+)/.exec(output)?.[1] ?? null;
}

/** Whether `version` is at least `minimum`; both are three dotted numbers. */
export function isAtLeast(version: string, minimum: string): boolean {
  return version.localeCompare(minimum, 'en', { numeric: true }) >= 0;
}

const PROVISION_TIMEOUT_MS = 300_000;
const LOCK_POLL_MS = 200;
const ABANDONED_AFTER_MS = 3_600_000;
const SERVER_LOCATIONS = ['usr/bin/redis-server', 'usr/bin/valkey-server'];
const ADVICE =
  'Install redis-server or valkey-server (6.2 or newer) so that it is on PATH, or set REDIS_URL to a running one.';

/**
 * Returns the server that an earlier fetch left in the cache, if it still starts on this machine.
 */
const cachedRedisServer = async (cacheDir: string): Promise<RedisServerBinary | null> =>
  probeExtractedTree(join(cacheDir, await systemName()));

/**
 * Fetches a server into the cache, as an ordinary user and without touching the system: from the
 * distribution's packages on Debian and Ubuntu, from an installed Homebrew formula on macOS.
 * Several processes may do so at once.
 *
 * @throws AppError `redis.unavailable` with what to install instead
 */
export async function provisionRedisServer(options: FindRedisServerOptions): Promise<RedisServerBinary> {
  const { cacheDir, path, onProgress = () => {} } = options;
  const deadline = AbortSignal.timeout(PROVISION_TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  try {
    if (process.platform === 'darwin') return await findWithHomebrew(path, signal);
    await mkdir(cacheDir, { recursive: true, mode: 0o700 });
    const lock = await waitForLock(join(cacheDir, 'fetch.lock'), signal);
    try {
      // The previous holder of the lock has probably fetched it.
      return (await cachedRedisServer(cacheDir)) ?? (await fetchIntoCache(cacheDir, signal, onProgress));
    } finally {
      lock.release();
    }
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

/**
 * Only saves work: ten processes with a cold cache fetch once. The final rename would be safe
 * without it.
 */
async function waitForLock(file: string, signal: AbortSignal) {
  for (;;) {
    const lock = tryLock(file);
    if (lock !== null) return lock;
    await delay(LOCK_POLL_MS, undefined, { signal });
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
    // Replaces a tree that no longer starts. A good tree that another process has just put there
    // may be replaced too: ours is as good.
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

/** Returns the multiarch folders (`usr/lib/x86_64-linux-gnu`) of an extracted tree. */
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

/**
 * Names the tree of this distribution, release and processor. Machines and containers may share one
 * home folder, and each needs its own tree.
 */
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

const FORMULAE = [
  { formula: 'redis', server: 'redis-server' },
  { formula: 'valkey', server: 'valkey-server' },
];

/**
 * Returns the server of an installed Homebrew formula, for a shell whose PATH lacks Homebrew's
 * folder. Installs nothing, because Homebrew installs for the whole machine.
 *
 * @throws Error when Homebrew has neither Redis nor Valkey
 */
async function findWithHomebrew(path: string, signal: AbortSignal): Promise<RedisServerBinary> {
  // Homebrew's own folders come last: on Apple silicon /opt/homebrew/bin is not on the default
  // PATH.
  // `/`: a relative entry of PATH must not mean the folder where the server was started.
  const env = { HOME: homedir(), PATH: `${path}:/opt/homebrew/bin:/usr/local/bin` };
  for (const { formula, server } of FORMULAE) {
    const prefix = await execFileAsync('brew', ['--prefix', formula], { env, cwd: '/', signal }).then(
      ({ stdout }) => stdout.trim(),
      () => null,
    );
    const binary = prefix === null ? null : await probeServerBinary(join(prefix, 'bin', server), null);
    if (binary) return binary;
  }
  throw new Error('Homebrew has no redis or valkey (brew install redis)');
}
