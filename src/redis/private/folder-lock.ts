import { DatabaseSync } from 'node:sqlite';
import { AppError } from '../../errors.ts';

/** Gives the folder back. Idempotent. */
export type ReleaseFolder = () => void;

/**
 * Takes the folder of a private server for this process, with a lock the kernel drops when the process dies
 * however it dies (SQLite's own file lock; Node has no flock).
 *
 * @throws AppError `config.locked` when a living process, this one included, has it
 */
export function lockFolder(file: string): ReleaseFolder {
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    throw new AppError('config.locked', `Another Bullpen runs its Redis in this folder (${file} is locked)`, {
      cause: error,
    });
  }
  return () => {
    if (database.isOpen) database.close();
  };
}
