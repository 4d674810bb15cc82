/** What no tool of a CLI should read: the server's own files, and the logins of all CLIs. */
import { readdir, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Login, PrivatePath, Provider } from '../providers/provider.ts';
import type { Providers } from '../providers/registry.ts';
import { liesBelow } from '../workspace.ts';

/** @param cwd a real path */
export type PrivatePaths = (provider: Pick<Provider, 'name'>, cwd: string) => Promise<readonly PrivatePath[]>;

/**
 * Finds them for each start, because files and links come and go:
 * - the entries of the data folder, except for the one with the scratch folders;
 * - `others`: more files and folders of the server;
 * - the files with the CLI's own login, which the CLI itself reads without a tool;
 * - the folders of the other CLIs, with their logins and sessions.
 *
 * A folder that contains the job's working directory or the home is not private as a whole.
 */
export function createPrivatePaths({
  dataFolder,
  scratchDir,
  others,
  providers,
  environment,
}: {
  readonly dataFolder: string;
  /** In the data folder. */
  readonly scratchDir: string;
  readonly others: readonly string[];
  readonly providers: Pick<Providers, 'list'>;
  environment(provider: string, set: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
}): PrivatePaths {
  const ofClis = (own: string): string[] =>
    providers.list().flatMap(({ provider: { name, login } }) => {
      const env = environment(name, {});
      const at = (files: Login['files'] = []) => files.flatMap((file) => locate(file, env) ?? []);
      return [...at(login.files), ...at(login.secrets), ...(name === own ? [] : at(login.folders))];
    });

  return async ({ name }, cwd) => {
    const home = environment(name, {})['HOME'] ?? '';
    const [entries, realData, realHome] = await Promise.all([
      readdir(dataFolder).catch(() => []), // then the job cannot start anyway
      realOrSame(dataFolder),
      realOrSame(home),
    ]);
    const inUse = [cwd, home, realHome, join(realData, basename(scratchDir))];
    const clear = (real: string): boolean => !inUse.some((used) => liesBelow(used, real));
    const of = (path: string, real: string, exists: boolean): readonly PrivatePath[] =>
      clear(real) ? [{ real, written: waysToWrite(path, real, home, cwd), exists }] : [];
    const found = await Promise.all(
      [...others, ...ofClis(name)].map(async (path) => {
        const real = await realpath(path).catch(() => null);
        return of(path, real ?? path, real !== null);
      }),
    );
    // No link is in the data folder: one readdir is enough.
    const own = entries.flatMap((entry) => of(join(dataFolder, entry), join(realData, entry), true));
    const all = new Map([...own, ...found.flat()].map((one) => [one.real, one]));
    const isCovered = (real: string) => [...all.keys()].some((one) => one !== real && liesBelow(real, one));
    return [...all.values()].filter(({ real }) => !isCovered(real));
  };
}

const realOrSame = (path: string): Promise<string> => realpath(path).catch(() => path);

/** null where the environment names no folder. */
function locate(
  { variable, home, name }: Login['files'][number],
  env: Readonly<Record<string, string>>,
): string | null {
  const folder = (variable === null ? undefined : env[variable]) || undefined;
  if (folder !== undefined) return join(folder, name);
  return (env['HOME'] ?? '') === '' ? null : join(env['HOME'] ?? '', home, name);
}

function waysToWrite(path: string, real: string, home: string, cwd: string): readonly string[] {
  const absolute = path === real ? [] : [path];
  const below = (folder: string): readonly string[] =>
    [path, real].flatMap((one) =>
      folder !== '' && one !== folder && liesBelow(one, folder) ? [one.slice(folder.length)] : [],
    );
  return [
    ...absolute,
    ...below(home).flatMap((rest) => [`~${rest}`, `$HOME${rest}`, `\${HOME}${rest}`]),
    ...below(cwd).flatMap((rest) => [rest.slice(1), `.${rest}`]),
  ].filter((way, index, all) => all.indexOf(way) === index);
}
