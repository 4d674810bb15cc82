import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../errors.ts';

const execFileAsync = promisify(execFile);

export interface AptOptions {
  /** An empty folder on the file system of the cache; everything is written inside it. */
  readonly workDir: string;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

type Run = (command: string, ...args: string[]) => Promise<{ stdout: string; stderr: string }>;

const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
/** The server packages hold a link to a program that is in the package of the tools. */
const SERVER_PACKAGES = [
  ['redis-server', 'redis-tools'],
  ['valkey-server', 'valkey-tools'],
] as const;
/** Another C library than the one the dynamic loader belongs to crashes every program. */
const NEVER_FETCHED = new Set(['libc6', 'libc-bin']);

/**
 * Downloads the distribution's server package and what of its dependencies this system lacks, and unpacks
 * them side by side. Nothing is installed, and no rights are needed: package lists, archives and locks
 * live in `workDir`.
 *
 * @returns the folder that holds `usr/bin/redis-server`
 * @throws when there is no apt, no network or no such package
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
 * One third-party source that is down is no reason to give up, so a failure only matters when the package
 * is then missing. apt exits with 0 when old lists would do, which a new folder has none of.
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
      // Installed, yet not usable from PATH: the archives of the programs are still what we want.
      return [...new Set([...programs, ...parseSimulatedInstall(stdout)])];
    } catch (error) {
      failures.push(firstError(error));
    }
  }
  throw new Error(failures.join('; '));
}

/** What apt names as the error, else what the start of the command says. */
function firstError(error: unknown): string {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
  return /^E: (.*)$/m.exec(stderr)?.[1] ?? messageOf(error);
}

/** The packages `apt-get install -s` would put on the system, without the C library. */
export function parseSimulatedInstall(output: string): string[] {
  return [...output.matchAll(/^Inst (\S+)/gm)]
    .map((match) => match[1] ?? '')
    .filter((name) => name !== '' && !NEVER_FETCHED.has(name));
}

/** Read after the system's own settings, so that its sources, keys and proxies stay in force. */
function aptConfig(workDir: string): string {
  const quoted = (folder: string) => `"${join(workDir, folder)}"`;
  return [
    `Dir::State ${quoted('state')};`,
    `Dir::State::Lists ${quoted('state/lists')};`,
    'Dir::State::status "/var/lib/dpkg/status";',
    `Dir::Cache ${quoted('cache')};`,
    `Dir::Cache::Archives ${quoted('cache/archives')};`,
    // The hooks are for a system whose lists changed; ours did not.
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    // As root, apt would otherwise download as a user who may not write here.
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'Acquire::Retries "2";',
    'Acquire::http::Timeout "20";',
    'Acquire::https::Timeout "20";',
    '',
  ].join('\n');
}
