/**
 * Where things lie before any setting is known. Nothing here depends on what a folder holds: the folder a command
 * is typed in may be somebody else's. Loads nothing: the commands that need no settings start fast.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** The name of the file of settings in a project's folder, which is not read unless it is named. */
export const LOCAL_CONFIG = 'bullpen.config.yaml';

/**
 * A folder of this user after the XDG base directory specification: a value that is empty or relative counts as
 * none.
 * @param name `XDG_STATE_HOME`
 * @param initial below the home folder: `.local/state`
 */
export function userFolder(env: Environment, name: string, initial: string): string {
  const value = env[name] ?? '';
  return isAbsolute(value) ? value : join(env['HOME'] || homedir(), initial);
}

/** The file of settings, absolute, and whether it was named: then it must be there. */
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

/**
 * The data folder as the settings would say, where that takes no settings to know: the environment names it, or
 * there is no file of settings that could. null: the settings must be loaded, which takes a quarter of a second.
 * A test holds it against the loader.
 */
export function plainDataFolder(env: Environment, cwd: string): string | null {
  const home = env['BULLPEN_HOME'] ?? '';
  if (home !== '') return resolve(cwd, home);
  const { path, named } = configFile(env, cwd);
  if (named || existsSync(path)) return null;
  return join(userFolder(env, 'XDG_STATE_HOME', '.local/state'), 'bullpen');
}
