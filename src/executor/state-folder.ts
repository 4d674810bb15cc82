/** Whether a CLI can write what it keeps between its runs. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Provider } from '../providers/provider.ts';

/** A full disk still takes an empty file. */
const CONTENT = Buffer.alloc(4096);
const REMEMBER_MS = 5000;

type Environment = Readonly<Record<string, string>>;

export interface StateFolders {
  /**
   * Why this CLI cannot save a session, as its jobs' environment stands; null: it can, or nothing is known of where it
   * does. Looked at once in five seconds.
   */
  trouble(provider: Pick<Provider, 'state'>, env: Environment): Promise<string | null>;
}

export function createStateFolders(): StateFolders {
  const known = new Map<string, { readonly trouble: Promise<string | null>; readonly at: number }>();
  return {
    trouble({ state }, env) {
      const folder = state === undefined ? null : folderOf(state, env);
      if (folder === null) return Promise.resolve(null);
      const last = known.get(folder);
      if (last !== undefined && performance.now() - last.at < REMEMBER_MS) return last.trouble;
      const trouble = tryToWrite(folder);
      known.set(folder, { trouble, at: performance.now() });
      return trouble;
    },
  };
}

function folderOf({ variable, home, name }: NonNullable<Provider['state']>, env: Environment): string | null {
  const own = env[variable] ?? '';
  if (own !== '') return join(own, name);
  return (env['HOME'] ?? '') === '' ? null : join(env['HOME'] ?? '', home, name);
}

/** Writes a file and removes it; where the folder is not there yet, in the one it would be made in. */
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
