import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/** A server executable that was seen to start on this machine. */
export interface RedisServerBinary {
  /** Absolute path of `redis-server` or `valkey-server`. */
  readonly path: string;
  /** What it calls itself, e.g. `7.0.15`. */
  readonly version: string;
  /** `LD_LIBRARY_PATH` it needs, or null for one that the system knows. */
  readonly libraryPath: string | null;
}

/** The oldest server that has all the commands Bullpen and BullMQ use. */
export const MIN_SERVER_VERSION = '6.2.0';

const PROBE_TIMEOUT_MS = 10_000;

/** The version in the output of `redis-server --version` or `valkey-server --version`, or null. */
export function parseServerVersion(output: string): string | null {
  return /\bv=(\d+\.\d+\.\d+)/.exec(output)?.[1] ?? null;
}

/** Whether `version` is at least `minimum`; both are three dotted numbers. */
export function isAtLeast(version: string, minimum: string): boolean {
  return version.localeCompare(minimum, 'en', { numeric: true }) >= 0;
}

/**
 * Runs `path --version` with the library path it would get.
 *
 * @returns the binary, or null when it does not start here or is older than {@link MIN_SERVER_VERSION}
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
    // A binary that does not start is no candidate; why it does not is the next one's chance, not an error.
    return null;
  }
}
