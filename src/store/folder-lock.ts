import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AppError, messageOf } from '../errors.ts';
import { readServerNote, removeServerNote, writeServerNote } from './server-note.ts';
import { sqliteCode } from './sqlite-error.ts';

const BUSY = 5;

export interface FolderLock {
  /** Writes where the server listens into the note beside the lock. */
  announce(address: string): void;
  /** Idempotent. The kernel does the same at the death of the process. */
  release(): void;
}

/**
 * Keeps a second main process out of a data folder (made with 0700 if it is not there). The lock is the
 * operating system's, through SQLite, so it ends with the process however that dies, and children do not
 * inherit it. It belongs to the process's use of `lock.db`: nothing else in this process may open that file,
 * because closing any descriptor of it would drop the lock (POSIX record locks).
 *
 * @throws AppError config.locked when another process, or this one, holds it; config.invalid when the folder
 * cannot be used
 */
export async function lockFolder(dir: string, options: { signal?: AbortSignal } = {}): Promise<FolderLock> {
  options.signal?.throwIfAborted();
  const startedAt = new Date().toISOString();
  const announce = (address: string | null): void =>
    writeServerNote(dir, { pid: process.pid, startedAt, address });
  const db = takeLock(dir, () => announce(null));
  return {
    announce,
    release() {
      if (!db.isOpen) return;
      removeServerNote(dir);
      db.close();
    },
  };
}

function takeLock(dir: string, onHeld: () => void): DatabaseSync {
  let db: DatabaseSync | null = null;
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const file = join(dir, 'lock.db');
    createOwnerOnly(file);
    db = new DatabaseSync(file);
    db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    onHeld();
    return db;
  } catch (error) {
    db?.close();
    if (sqliteCode(error) === BUSY) throw new AppError('config.locked', heldBy(dir), { cause: error });
    throw new AppError('config.invalid', `the data folder ${dir} cannot be used: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Never opens a file that is there: closing it again would drop a lock this process holds. */
function createOwnerOnly(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

function heldBy(dir: string): string {
  const note = readServerNote(dir);
  const who = note === null ? '' : ` (pid ${note.pid}, since ${note.startedAt})`;
  return `another Bullpen server${who} uses the data folder ${dir}; stop it, or choose another folder with BULLPEN_HOME`;
}
