/**
 * The folders and files that are found before any setting is loaded. Nothing here depends on the
 * content of the current folder, which may belong to another user. It imports no packages, so
 * commands that need no settings start fast.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** A settings file in the current folder. It is read only when it is named. */
export const LOCAL_CONFIG = 'bullpen.config.yaml';

/**
 * Returns a folder of this user by the XDG base directory specification, which ignores empty and
 * relative values.
 * @param name for example `XDG_STATE_HOME`
 * @param initial relative to the home folder, for example `.local/state`
 */
export function userFolder(env: Environment, name: string, initial: string): string {
  const value = env[name] ?? '';
  return isAbsolute(value) ? value : join(env['HOME'] || homedir(), initial);
}

/** Returns the absolute path of the settings file. A named file must exist. */
export function configFile(
  env: Environment,
  cwd: string,
): { readonly path: string; readonly named: boolean } {
  const named = env['BULLPEN_CONFIG'] ?? '';
  if (named !== '') return { path: resolve(cwd, named), named: true };
  return {
    path: join(userFolder(env, 'XDG_CONFIG_HOME', '.config'), 'bullpen', 'config.yaml'),
    named: false,
  };
}

/** The user's configuration folder of Bullpen, and the settings file, which may lie elsewhere. */
export const configPlaces = (env: Environment, cwd: string): readonly string[] => [
  join(userFolder(env, 'XDG_CONFIG_HOME', '.config'), 'bullpen'),
  configFile(env, cwd).path,
];

/**
 * Returns the data folder when the environment names it or no settings file could. null: the
 * settings must be loaded, which takes a quarter of a second. A test compares it with the loader.
 */
export function plainDataFolder(env: Environment, cwd: string): string | null {
  const home = env['BULLPEN_HOME'] ?? '';
  if (home !== '') return resolve(cwd, home);
  const { path, named } = configFile(env, cwd);
  if (named || existsSync(path)) return null;
  return join(userFolder(env, 'XDG_STATE_HOME', '.local/state'), 'bullpen');
}
