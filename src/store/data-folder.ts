import { mkdir } from 'node:fs/promises';
import type { Settings } from '../config/schema.ts';
import { AppError } from '../errors.ts';
import { isInside } from '../executor/workspace.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';

/**
 * Makes the data folder and takes its lock.
 * @throws AppError config.invalid when a CLI could read it, config.locked when another server has it
 */
export async function openDataFolder({ home, roots }: Pick<Settings, 'home' | 'roots'>): Promise<FolderLock> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  if (await isInside(home, roots)) {
    throw new AppError(
      'config.invalid',
      `the data folder ${home} lies inside an allowed root (${roots.join(', ')}), where a CLI could read the token; start in a project's folder, or set BULLPEN_CWD or BULLPEN_HOME`,
    );
  }
  return lockFolder(home);
}
