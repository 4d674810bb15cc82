/** The files in which a CLI keeps a session itself. */
import { constants } from 'node:fs';
import { type FileHandle, glob, open } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../processes/launch.ts';
import { isShortage } from '../processes/spawn.ts';

/**
 * The files of a pattern below a folder, each open until the next one is asked for. It leaves out
 * what cannot be opened, such as a file that was just removed, and what is no file, such as a pipe
 * that a job has put there.
 * @throws the error of a shortage (see `isShortage`): the files may be there
 */
export async function* openTranscripts(pattern: string, folder: string): AsyncGenerator<FileHandle> {
  let found = false;
  for await (const name of glob(pattern, { cwd: folder })) {
    found = true;
    await using file = await openForReading(join(folder, name));
    if (file !== null && (await file.stat()).isFile()) yield file;
  }
  // `glob` passes over the folders that it cannot read, also for lack of a descriptor.
  if (!found) await (await openForReading(folder))?.close();
}

/** Does not wait for the other end of a pipe. Null: it cannot be opened. */
async function openForReading(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === '' || isShortage(error)) throw error;
    return null;
  }
}
