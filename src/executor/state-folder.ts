/** Checks whether a CLI can write the folder in which it keeps its sessions. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Provider } from '../providers/provider.ts';

/** Not empty: a full disk still takes an empty file. */
const CONTENT = Buffer.alloc(4096);
const CACHE_MS = 5000;
const MAX_CACHED = 100;

type Environment = Readonly<Record<string, string>>;

export interface StateFolders {
  /**
   * Why this CLI cannot save a session with this environment. Null when it can, or when it is not known where it
   * saves. The result is cached for five seconds.
   */
  trouble(provider: Pick<Provider, 'state'>, env: Environment): Promise<string | null>;
}

export function createStateFolders(): StateFolders {
  const cache = new LRUCache<string, Promise<string | null>>({ max: MAX_CACHED, ttl: CACHE_MS });
  return {
    trouble({ state }, env) {
      const folder = state === undefined ? null : folderOf(state, env);
      if (folder === null) return Promise.resolve(null);
      const cached = cache.get(folder);
      if (cached !== undefined) return cached;
      const trouble = tryToWrite(folder);
      cache.set(folder, trouble);
      return trouble;
    },
  };
}

function folderOf({ variable, home, name }: NonNullable<Provider['state']>, env: Environment): string | null {
  const own = env[variable] ?? '';
  if (own !== '') return join(own, name);
  return (env['HOME'] ?? '') === '' ? null : join(env['HOME'] ?? '', home, name);
}

/** Writes and removes a file: in the folder, or in its nearest parent that exists. */
async function tryToWrite(folder: string): Promise<string | null> {
  const file = join(folder, `.bullpen-${randomUUID()}`);
  try {
    await writeFile(file, CONTENT, { flag: 'wx', mode: 0o600 });
    return null;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const parent = dirname(folder);
    if (code === 'ENOENT' && parent !== folder) return tryToWrite(parent);
    return `${folder} cannot be written (${code})`;
  } finally {
    await rm(file, { force: true }).catch(() => undefined); // what could not be made cannot be removed
  }
}
