import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/**
 * The data folder as the settings would say, where that takes no settings to know: the environment names it, or
 * there is no settings' file that could. null: the settings must be loaded, which takes a quarter of a second.
 * A test holds it against the loader.
 */
export function plainDataFolder(
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): string | null {
  const named = env['BULLPEN_HOME'] ?? '';
  if (named !== '') return resolve(cwd, named);
  if ((env['BULLPEN_CONFIG'] ?? '') !== '' || existsSync(join(cwd, 'bullpen.config.yaml'))) return null;
  const state = env['XDG_STATE_HOME'] ?? '';
  const base = isAbsolute(state) ? state : join(env['HOME'] || homedir(), '.local/state');
  return join(base, 'bullpen');
}
