import { mkdir, stat } from 'node:fs/promises';
import type { Settings } from '../config/schema.ts';
import { AppError } from '../errors.ts';
import { isInside } from '../executor/workspace.ts';
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
  await mkdir(home, { recursive: true, mode: 0o700 });
  if (await isInside(home, roots)) {
    throw new AppError(
      'config.invalid',
      `the data folder ${home} lies inside an allowed root (${roots.join(', ')}), where a CLI could read the token; start in a project's folder, or set BULLPEN_CWD or BULLPEN_HOME`,
    );
  }
  return lockFolder(home);
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
