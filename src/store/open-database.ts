import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { AppError, messageOf } from '../errors.ts';
import { checkIntegrity } from './integrity.ts';
import { MIGRATIONS, migrate } from './migrations.ts';
import { addPromptSearch } from './prompt-search.ts';
import { isDamage, isPassing } from './sqlite-error.ts';

const OWNER_ONLY = 0o600;
const BUSY_TIMEOUT_MS = 5_000;
/** After a burst the write-ahead log is cut back to this. */
const MAX_IDLE_WAL_BYTES = 64 * 1024 * 1024;

/**
 * Opens the ledger, made if it is not there and migrated if it is older than the code. Blocks; for the
 * store's thread.
 *
 * @throws AppError config.invalid: damaged, not ours, newer than the code, or not accessible; SQLite's own
 * error for what may pass by itself (`isPassing`)
 */
export function openDatabase(file: string): DatabaseSync {
  let db: DatabaseSync | null = null;
  try {
    closeSync(openSync(file, 'a', OWNER_ONLY));
    chmodSync(file, OWNER_ONLY);
    db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      PRAGMA journal_size_limit = ${MAX_IDLE_WAL_BYTES}; PRAGMA cache_size = -16384`);
    checkIntegrity(db, file);
    migrate(db, file, MIGRATIONS);
    addPromptSearch(db);
    return db;
  } catch (error) {
    db?.close();
    // What may pass by itself (a full disk, a lock) stays store.unavailable; what a person must mend does not.
    if (error instanceof AppError || isPassing(error)) throw error;
    const message = isDamage(error) ? damaged(file, messageOf(error)) : unusable(file, error);
    throw new AppError('config.invalid', message, { cause: error });
  }
}

const damaged = (file: string, detail: string): string =>
  `the ledger ${file} is damaged or not a database (${detail}); put a backup in its place, or move it away to start a new one`;

const unusable = (file: string, error: unknown): string =>
  `the ledger ${file} cannot be opened: ${messageOf(error)}`;
