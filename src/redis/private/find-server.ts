import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { cachedRedisServer, provisionRedisServer } from './provision.ts';
import { probeServerBinary, type RedisServerBinary } from './server-binary.ts';

export interface FindRedisServerOptions {
  /** Where a fetched server is kept; see `redisCacheDir`. */
  readonly cacheDir: string;
  /** The search path, as in `PATH`. */
  readonly path: string;
  readonly signal?: AbortSignal;
  /** Told, line by line, what a fetch does; never called when a server is at hand. */
  readonly onProgress?: (line: string) => void;
}

const SERVER_NAMES = ['redis-server', 'valkey-server'];

/**
 * A Redis or Valkey server of at least 6.2: from the search path, else from the cache, else fetched into
 * the cache without touching the system.
 *
 * @throws AppError `redis.unavailable` when there is none and none can be fetched; the message says what
 * to install
 */
export async function findRedisServer(options: FindRedisServerOptions): Promise<RedisServerBinary> {
  for (const candidate of SERVER_NAMES.flatMap((name) => executablesOnPath(name, options.path))) {
    const binary = await probeServerBinary(candidate, null);
    if (binary) return binary;
  }
  return (await cachedRedisServer(options.cacheDir)) ?? (await provisionRedisServer(options));
}

/** Every executable called `name` on the search path, in its order. */
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
