/** Finds a provider's binary and its version. A place is remembered for a moment, a version until the file changes. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { AppError } from '../errors.ts';
import type { Provider } from '../providers/provider.ts';
import { signalGroup } from './process/launch.ts';

const run = promisify(execFile);
const VERSION_TIMEOUT_MS = 10_000;
/** A binary that goes away in between is noticed by the spawn. */
const REMEMBER_MS = 5000;
const LOGIN_TIMEOUT_MS = 10_000;
const REMEMBER_LOGIN_MS = 60_000;

export interface ProbedCli {
  /** Real, absolute path. */
  readonly binary: string;
}

export interface CliProbe {
  /** @throws AppError execution.cli_missing with where was looked */
  find(provider: Provider, configured: string | null): Promise<ProbedCli>;
  /** What is known of the version by now, without waiting; asking starts finding out. */
  knownVersion(binary: string): string | null;
  /** Runs the binary with its version arguments; null when it does not tell. */
  version(provider: Provider, binary: string): Promise<string | null>;
  /**
   * Asks the CLI whether it is logged in, at most once a minute; null when it does not answer within 10 s, or
   * cannot tell.
   * @param env the whole environment, as its jobs have it
   */
  loggedIn(
    provider: Provider,
    binary: string,
    env: Readonly<Record<string, string>>,
  ): Promise<boolean | null>;
}

/**
 * @param searchPath as in PATH
 * @param env the whole environment of a version run
 * @param loginTimeoutMs how long a CLI may take to say whether it is logged in
 */
export function createCliProbe(
  searchPath: string,
  env: Readonly<Record<string, string>>,
  loginTimeoutMs = LOGIN_TIMEOUT_MS,
): CliProbe {
  const places = new Map<string, { cli: ProbedCli; at: number }>();
  const versions = new Map<string, { mtimeMs: number; version: string | null }>();
  const logins = new Map<string, { answer: Promise<boolean | null>; at: number }>();

  async function executable(candidate: string): Promise<string | null> {
    try {
      await access(candidate, constants.X_OK);
      const real = await realpath(candidate);
      return (await stat(real)).isFile() ? real : null;
    } catch {
      return null; // not there or not ours to run: the next candidate
    }
  }

  async function look(provider: Provider, configured: string | null): Promise<ProbedCli> {
    const candidates = configured === null ? provider.binaries : [configured];
    for (const name of candidates) {
      const places = isAbsolute(name)
        ? [name]
        : searchPath
            .split(delimiter)
            .filter(isAbsolute)
            .map((dir) => join(dir, name));
      for (const place of places) {
        const binary = await executable(place);
        if (binary !== null) return { binary };
      }
    }
    const where = configured === null ? 'on PATH' : 'where the settings say';
    throw new AppError(
      'execution.cli_missing',
      `${candidates.join(' or ')} is not installed: no executable file ${where}`,
    );
  }

  return {
    async find(provider, configured) {
      const key = `${provider.name} ${configured ?? ''}`;
      const known = places.get(key);
      if (known !== undefined && performance.now() - known.at < REMEMBER_MS) return known.cli;
      const cli = await look(provider, configured);
      places.set(key, { cli, at: performance.now() });
      return cli;
    },

    knownVersion: (binary) => versions.get(binary)?.version ?? null,

    async version(provider, binary) {
      const { mtimeMs } = await stat(binary);
      const known = versions.get(binary);
      if (known !== undefined && known.mtimeMs === mtimeMs) return known.version;
      const version = await askVersion(provider, binary, env);
      versions.set(binary, { mtimeMs, version });
      return version;
    },

    loggedIn({ name, login }, binary, environment) {
      if (login.statusArgs === null) return Promise.resolve(null);
      const key = `${name} ${binary}`;
      const known = logins.get(key);
      if (known !== undefined && performance.now() - known.at < REMEMBER_LOGIN_MS) return known.answer;
      const answer = askLogin(binary, login.statusArgs, environment, loginTimeoutMs);
      logins.set(key, { answer, at: performance.now() });
      return answer;
    },
  };
}

/** Without pipes, so that nothing it leaves behind can hold us up; what it says is nobody's business. */
async function askLogin(
  binary: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<boolean | null> {
  const child = spawn(binary, [...args], { stdio: 'ignore', env: { ...env }, cwd: '/', detached: true });
  const timer = setTimeout(() => {
    if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
  }, timeoutMs);
  try {
    // Typed as `unknown[]`; these are the event's arguments.
    const [code] = (await once(child, 'exit')) as [number | null];
    return code === null ? null : code === 0;
  } catch {
    return null; // it could not be started
  } finally {
    clearTimeout(timer);
  }
}

async function askVersion(
  provider: Provider,
  binary: string,
  env: Readonly<Record<string, string>>,
): Promise<string | null> {
  if (provider.versionArgs.length === 0) return null;
  try {
    const { stdout } = await run(binary, [...provider.versionArgs], {
      timeout: VERSION_TIMEOUT_MS,
      env: { ...env },
      cwd: '/', // not where the server was started: a CLI obeys files of its folder
    });
    return /\d+\.\d+[\w.-]*/.exec(stdout)?.[0] ?? null;
  } catch {
    return null; // a CLI that cannot tell its version may still work
  }
}
