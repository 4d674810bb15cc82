import { chmod, lstat, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '../config/schema.ts';
import { AppError, messageOf } from '../errors.ts';
import { isInside } from '../workspace.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';

/**
 * Makes the data folder and takes its lock.
 * @throws AppError config.invalid when a folder of the settings is not there, or a CLI could read the data folder;
 * config.locked when another server has it
 */
export async function openDataFolder(
  settings: Pick<Settings, 'home' | 'cwd' | 'roots' | 'trustedRoots'>,
): Promise<FolderLock> {
  const { home, cwd, roots, trustedRoots } = settings;
  // A root that is not there would be passed over without a word, and its jobs refused one by one.
  await mustBeFolders('BULLPEN_CWD', [cwd]);
  await mustBeFolders('BULLPEN_ROOTS', roots);
  await mustBeFolders('BULLPEN_TRUSTED_ROOTS', trustedRoots);
  await mkdir(home, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    const message = `the data folder ${home} cannot be used: ${messageOf(error)}`;
    throw new AppError('config.invalid', message, { cause: error });
  });
  if (await isInside(home, roots)) {
    throw new AppError(
      'config.invalid',
      `the data folder ${home} lies inside an allowed root (${roots.join(', ')}), where a CLI could read the token; start in a project's folder, or set BULLPEN_CWD or BULLPEN_HOME`,
    );
  }
  const lock = await lockFolder(home);
  try {
    await narrow(home);
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Folders of the data folder that are ours as a whole. In a container the home of the CLIs may lie beside them. */
const OWN_FOLDERS = ['redis'];

/** Takes away the rights of other users, which an earlier version or a restored copy may have left. */
async function narrow(folder: string, isOurs = (name: string) => OWN_FOLDERS.includes(name)): Promise<void> {
  await narrowOne(folder);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isFile() || entry.isSocket()) await narrowOne(path);
    else if (entry.isDirectory() && isOurs(entry.name)) await narrow(path, () => true);
    else if (entry.isDirectory()) await narrowOne(path);
  }
}

async function narrowOne(path: string): Promise<void> {
  try {
    const { mode } = await lstat(path);
    if ((mode & 0o077) !== 0) await chmod(path, mode & 0o700);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    // Gone meanwhile, or of another user: the folder around it keeps others out, and `doctor` looks at that.
    if (code !== 'ENOENT' && code !== 'EPERM') throw error;
  }
}

async function mustBeFolders(setting: string, folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    const isFolder = await stat(folder).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (isFolder) continue;
    const message = `${folder} (${setting}) is not there, or is no folder that this user may enter`;
    throw new AppError('config.invalid', message, { problems: [{ path: setting, message }] });
  }
}
