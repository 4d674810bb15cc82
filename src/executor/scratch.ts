import { chmod, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';

/**
 * Removes a scratch folder and all in it. A tool may have left folders nobody may write in; that must neither
 * fail an execution nor keep a server from starting, so what cannot be removed is told and left.
 */
export async function removeScratch(dir: string, logger: Logger): Promise<void> {
  try {
    await rm(dir, { recursive: true, force: true });
    return;
  } catch {
    // Most often EACCES: open up what is ours and try once more.
  }
  try {
    await openUp(dir);
    await rm(dir, { recursive: true, force: true });
  } catch (error) {
    logger.warn({ dir, reason: messageOf(error) }, 'a scratch folder could not be removed');
  }
}

async function openUp(dir: string): Promise<void> {
  await chmod(dir, 0o700);
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) await openUp(join(dir, entry.name));
  }
}
