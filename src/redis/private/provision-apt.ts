import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../errors.ts';

const execFileAsync = promisify(execFile);

export interface AptOptions {
  /** An empty folder on the cache's file system. Everything is written inside it. */
  readonly workDir: string;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

type Run = (command: string, ...args: string[]) => Promise<{ stdout: string; stderr: string }>;

const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
/** The server package only links to a program that lies in the tools package. */
const SERVER_PACKAGES = [
  ['redis-server', 'redis-tools'],
  ['valkey-server', 'valkey-tools'],
] as const;
/** A C library that does not match the dynamic loader crashes every program. */
const NEVER_FETCHED = new Set(['libc6', 'libc-bin']);

/**
 * Downloads the distribution's server package and its missing dependencies, and unpacks them into
 * one tree. Installs nothing and needs no rights: package lists, archives and locks lie in
 * `workDir`.
 *
 * @returns the folder that holds `usr/bin/redis-server`
 * @throws Error when there is no apt, no network or no such package
 */
export async function extractWithApt({ workDir, signal, onProgress }: AptOptions): Promise<string> {
  const config = join(workDir, 'apt.conf');
  const archives = join(workDir, 'archives');
  const tree = join(workDir, 'tree');
  await Promise.all(
    ['state/lists/partial', 'cache/archives/partial', 'archives', 'tree'].map((folder) =>
      mkdir(join(workDir, folder), { recursive: true }),
    ),
  );
  await writeFile(config, aptConfig(workDir));
  const run: Run = (command, ...args) =>
    execFileAsync(command, args, { cwd: archives, signal, maxBuffer: MAX_OUTPUT_BYTES });
  const apt: Run = (...args) => run('apt-get', '-c', config, '-q', ...args);

  onProgress('fetching package lists (nothing is installed)');
  const listsFailure = await fetchLists(apt);
  signal.throwIfAborted();
  const packages = await packagesToFetch(apt).catch((error: unknown) => {
    throw listsFailure ?? error;
  });
  onProgress(`downloading ${packages.join(' ')}`);
  await apt('download', ...packages);
  for (const archive of await readdir(archives)) {
    await run('dpkg-deb', '-x', join(archives, archive), tree);
  }
  return tree;
}

/**
 * Returns the failure instead of throwing it: when one third-party source is down, the package may
 * still be found. apt exits with 0 when it could fall back to old lists, but a new folder has none.
 */
async function fetchLists(apt: Run): Promise<Error | null> {
  try {
    const { stderr } = await apt('update');
    return /^[WE]: /m.test(stderr) ? new Error('the package lists could not be fetched') : null;
  } catch (error) {
    return new Error(`the package lists could not be fetched (${firstError(error)})`, { cause: error });
  }
}

async function packagesToFetch(apt: Run): Promise<string[]> {
  const failures: string[] = [];
  for (const programs of SERVER_PACKAGES) {
    try {
      const { stdout } = await apt('install', '-s', '--no-install-recommends', ...programs);
      // They may be installed but not on PATH, so the programs' own archives are always fetched.
      return [...new Set([...programs, ...parseSimulatedInstall(stdout)])];
    } catch (error) {
      failures.push(firstError(error));
    }
  }
  throw new Error(failures.join('; '));
}

/** Returns apt's own error message, else the error of starting the command. */
function firstError(error: unknown): string {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
  return /^E: (.*)$/m.exec(stderr)?.[1] ?? messageOf(error);
}

/** Returns the packages that `apt-get install -s` would install, without the C library. */
export function parseSimulatedInstall(output: string): string[] {
  return [...output.matchAll(/^Inst (\S+)/gm)]
    .map((match) => match[1] ?? '')
    .filter((name) => name !== '' && !NEVER_FETCHED.has(name));
}

/** apt reads it after the system's configuration, whose sources, keys and proxies stay in force. */
function aptConfig(workDir: string): string {
  const quoted = (folder: string) => `"${join(workDir, folder)}"`;
  return [
    `Dir::State ${quoted('state')};`,
    `Dir::State::Lists ${quoted('state/lists')};`,
    'Dir::State::status "/var/lib/dpkg/status";',
    `Dir::Cache ${quoted('cache')};`,
    `Dir::Cache::Archives ${quoted('cache/archives')};`,
    // These hooks are for a change of the system's lists, which does not happen here.
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    // When run as root, apt would otherwise download as a user who may not write here.
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'Acquire::Retries "2";',
    'Acquire::http::Timeout "20";',
    'Acquire::https::Timeout "20";',
    '',
  ].join('\n');
}
