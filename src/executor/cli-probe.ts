/**
 * What the server finds out about a CLI: its binary, its version, its login, and whether it can
 * write the folder in which it keeps its sessions.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { AppError } from '../errors.ts';
import { systemCode } from '../processes/launch.ts';
import { isShortage } from '../processes/spawn.ts';
import { buildEnvironment } from '../providers/environment.ts';
import type { Provider } from '../providers/provider.ts';
import { liesBelow, realRoots } from '../workspace.ts';
import { askCli } from './ask-cli.ts';

const TIMEOUT_MS = 10_000;
const CACHE_MS = 60_000;

type Environment = Readonly<Record<string, string>>;

export interface ProbedCli {
  /**
   * Absolute path. Links are not resolved: they may move, and some programs depend on their name.
   */
  readonly binary: string;
  /** Identifies the file; it changes with an update. */
  readonly identity: string;
  /** The folder it was found in, when that is not on PATH. Programs it needs may be beside it. */
  readonly extraFolder: string | null;
}

export interface CliProbe {
  /**
   * Not cached.
   * @throws AppError execution.cli_missing with the folders that were searched
   */
  find(provider: Pick<Provider, 'binaries'>, configured: string | null): Promise<ProbedCli>;
  /** The cached version, or null. */
  knownVersion(cli: ProbedCli): string | null;
  /**
   * Runs the binary with its version arguments, for at most 10 s. A version is cached until the
   * file changes; null, when it has said none, for a minute.
   */
  version(provider: Provider, cli: ProbedCli): Promise<string | null>;
  /**
   * Asks the CLI whether it is logged in, at most once a minute. Null when it does not answer
   * within 10 s, or has no such command.
   * @param env the whole environment of its jobs
   */
  loggedIn(provider: Provider, binary: string, env: Environment): Promise<boolean | null>;
}

export interface CliProbeOptions {
  /** In the form of PATH. Only absolute folders count. */
  readonly searchPath: string;
  /** Folders that are searched after PATH. */
  otherPlaces(): Promise<readonly string[]>;
  /** The whole environment of a version run. */
  readonly env: Environment;
  /** How long a CLI may take to answer. Default: 10 s. */
  readonly timeoutMs?: number;
}

/** Searches the PATH of the server's environment, then the folders that installers use. */
export const createServerProbe = (
  source: Readonly<Record<string, string | undefined>>,
  roots: readonly string[],
): CliProbe =>
  createCliProbe({
    searchPath: source['PATH'] ?? '',
    otherPlaces: () => usualPlaces(source['HOME'] ?? '', roots),
    env: buildEnvironment({ source, names: [], set: {} }),
  });

interface VersionRun {
  readonly identity: string;
  /** Of its start, on the monotonic clock (ms). */
  readonly at: number;
  /** Null until it has ended, and when it has said none. */
  version: string | null;
  readonly ended: Promise<string | null>;
}

export function createCliProbe(options: CliProbeOptions): CliProbe {
  const { env, timeoutMs = TIMEOUT_MS } = options;
  const path = [...new Set(options.searchPath.split(delimiter).filter(isAbsolute))];
  const versions = new Map<string, VersionRun>();
  const logins = new Map<string, { answer: Promise<boolean | null>; at: number }>();

  function askVersion(provider: Provider, { binary, identity, extraFolder }: ProbedCli): VersionRun {
    const answer = askCli(binary, provider.versionArgs, withFolder(env, extraFolder), timeoutMs);
    const ended = answer.then((said) => {
      // A CLI without a version may still work.
      if (said?.code === 0) run.version = /\d+\.\d+[\w.-]*/.exec(said.stdout)?.[0] ?? null;
      return run.version;
    });
    const run: VersionRun = { identity, at: performance.now(), version: null, ended };
    return run;
  }

  /** One look at each folder: most of them do not have the CLI. */
  async function inFolders(
    names: readonly string[],
    folders: readonly string[],
  ): Promise<Omit<ProbedCli, 'extraFolder'> | null> {
    const binaries = names.flatMap((name) =>
      isAbsolute(name) ? [name] : folders.map((dir) => join(dir, name)),
    );
    const executable = await Promise.all(binaries.map(isExecutable));
    for (const binary of binaries.filter((_, index) => executable[index])) {
      const identity = await identityOf(binary);
      if (identity !== null) return { binary, identity };
    }
    return null;
  }

  return {
    async find(provider, configured) {
      const names = configured === null ? provider.binaries : [configured];
      const onPath = await inFolders(names, path);
      if (onPath !== null) return { ...onPath, extraFolder: null };
      const places = names.every(isAbsolute) ? [] : await options.otherPlaces();
      const found = await inFolders(names, places);
      if (found !== null) return { ...found, extraFolder: dirname(found.binary) };
      const home = env['HOME'] ?? '';
      const named = places.map((place) =>
        place.startsWith(`${home}/`) ? `~${place.slice(home.length)}` : place,
      );
      const where = places.length === 0 ? 'where the settings say' : `on PATH, nor in ${named.join(', ')}`;
      throw new AppError(
        'execution.cli_missing',
        `${names.join(' or ')} is not installed: no executable file ${where}`,
      );
    },

    knownVersion: ({ binary, identity }) => {
      const known = versions.get(binary);
      return known?.identity === identity ? known.version : null;
    },

    async version(provider, cli) {
      if (provider.versionArgs.length === 0) return null;
      const known = versions.get(cli.binary);
      if (known?.identity === cli.identity) {
        const isFresh = known.version !== null || performance.now() - known.at < CACHE_MS;
        if (isFresh) return known.ended;
      }
      const run = askVersion(provider, cli);
      versions.set(cli.binary, run);
      return run.ended;
    },

    loggedIn({ name, login }, binary, environment) {
      if (login.statusArgs === null) return Promise.resolve(null);
      const key = `${name} ${binary}`;
      const known = logins.get(key);
      if (known !== undefined && performance.now() - known.at < CACHE_MS) return known.answer;
      const answer = askCli(binary, login.statusArgs, environment, timeoutMs).then((said) => {
        return said === null ? null : said.code === 0;
      });
      logins.set(key, { answer, at: performance.now() });
      return answer;
    },
  };
}

const isExecutable = (file: string): Promise<boolean> =>
  access(file, constants.X_OK).then(
    () => true,
    () => false, // missing or not executable
  );

/** null: it is not a file. */
async function identityOf(binary: string): Promise<string | null> {
  try {
    const [real, found] = await Promise.all([realpath(binary), stat(binary)]);
    return found.isFile() ? `${real}:${found.ino}:${found.size}:${found.mtimeMs}:${found.ctimeMs}` : null;
  } catch {
    return null; // it has just been removed
  }
}

/** An environment whose PATH ends with this folder too. */
export const withFolder = (env: Environment, folder: string | null): Environment =>
  folder === null ? env : { ...env, PATH: env['PATH'] ? `${env['PATH']}${delimiter}${folder}` : folder };

/** Below the home folder: claude's own installers, npm, Bun, Volta, pnpm, Yarn. */
const IN_HOME = [
  '.local/bin',
  '.claude/local',
  '.npm-global/bin',
  '.bun/bin',
  '.volta/bin',
  '.local/share/pnpm',
  '.yarn/bin',
];
const NODE_VERSIONS = '.nvm/versions/node';
const OF_THE_MACHINE = ['/opt/homebrew/bin', '/home/linuxbrew/.linuxbrew/bin', '/usr/local/bin'];

/**
 * Folders into which installers put CLIs, in the order in which they are searched. The PATH of a
 * service often has none of them. A folder inside a root is left out, because jobs may write there.
 * A root that contains the whole home folder does not count: it contains the login files as well.
 * @param home without an absolute path only the folders of the machine are searched
 */
export async function usualPlaces(home: string, roots: readonly string[]): Promise<readonly string[]> {
  const hasHome = isAbsolute(home);
  const places = hasHome ? [...IN_HOME.map((place) => join(home, place)), ...(await nodeVersions(home))] : [];
  const dangerous = await rootsWithout(home, roots);
  const found = await Promise.all(
    [...places, ...OF_THE_MACHINE].map(async (place) => {
      const real = await realpath(place).catch(() => place);
      return dangerous.some((root) => liesBelow(real, root)) ? null : place;
    }),
  );
  return found.filter((place) => place !== null);
}

/** The folders of nvm, one per version of Node.js, newest first. */
async function nodeVersions(home: string): Promise<readonly string[]> {
  const folder = join(home, NODE_VERSIONS);
  const versions = await readdir(folder).catch(() => []);
  return versions
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((version) => join(folder, version, 'bin'));
}

async function rootsWithout(home: string, roots: readonly string[]): Promise<readonly string[]> {
  const real = await realpath(home).catch(() => home);
  return (await realRoots(roots)).filter((root) => !liesBelow(real, root));
}

/** Not empty: a full disk still takes an empty file. */
const PROBE_CONTENT = Buffer.alloc(4096);
const STATE_CACHE_MS = 5000;
const MAX_STATE_FOLDERS = 100;

export interface StateFolders {
  /**
   * Why this CLI cannot save a session with this environment. Null when it can, or when its folder
   * is not known. The result is cached for five seconds.
   * @throws the error of a shortage (see `isShortage`), which says nothing about the folder
   */
  trouble(provider: Pick<Provider, 'state'>, env: Environment): Promise<string | null>;
}

export function createStateFolders(): StateFolders {
  const cache = new LRUCache<string, Promise<string | null>>({ max: MAX_STATE_FOLDERS, ttl: STATE_CACHE_MS });
  return {
    trouble({ state }, env) {
      const folder = state === undefined ? null : stateFolderOf(state, env);
      if (folder === null) return Promise.resolve(null);
      const cached = cache.get(folder);
      if (cached !== undefined) return cached;
      const trouble = tryToWrite(folder);
      cache.set(folder, trouble);
      trouble.catch(() => cache.delete(folder));
      return trouble;
    },
  };
}

/** The folder of a CLI's sessions; null where the environment names no home. */
export function stateFolderOf(
  { variable, home, name }: NonNullable<Provider['state']>,
  env: Environment,
): string | null {
  const own = env[variable] ?? '';
  if (own !== '') return join(own, name);
  return (env['HOME'] ?? '') === '' ? null : join(env['HOME'] ?? '', home, name);
}

/** Writes and removes a file: in the folder, or in its nearest parent that exists. */
async function tryToWrite(folder: string): Promise<string | null> {
  const file = join(folder, `.bullpen-${randomUUID()}`);
  try {
    await writeFile(file, PROBE_CONTENT, { flag: 'wx', mode: 0o600 });
    return null;
  } catch (error) {
    if (isShortage(error)) throw error;
    const code = systemCode(error) || 'unknown';
    const parent = dirname(folder);
    if (code === 'ENOENT' && parent !== folder) return tryToWrite(parent);
    return `${folder} cannot be written (${code})`;
  } finally {
    await rm(file, { force: true }).catch(() => undefined); // it may not have been made
  }
}
