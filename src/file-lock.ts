import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

export interface FileLock {
  /** Idempotent. The kernel does the same when the process dies. */
  release(): void;
}

/** SQLITE_BUSY of https://www.sqlite.org/rescode.html. */
const BUSY = 5;

/**
 * Locks a file, which is created if it is missing. Returns null when another process, or this one,
 * holds the lock.
 *
 * The lock is the operating system's, taken through SQLite because Node has no flock: it ends with
 * the process, and child processes do not inherit it. Nothing else in this process may open the
 * file, because closing any descriptor of it drops the lock (POSIX record locks).
 *
 * @throws Error when the file cannot be used
 */
export function tryLock(file: string): FileLock | null {
  createOwnerOnly(file);
  const db = new DatabaseSync(file, { timeout: 0 });
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    if (error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === BUSY) return null;
    throw error;
  }
  return {
    release() {
      if (db.isOpen) db.close();
    },
  };
}

/** Never opens an existing file: closing it again would drop a lock that this process holds. */
function createOwnerOnly(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
