import { chmodSync, closeSync, existsSync, openSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { AppError, messageOf } from '../errors.ts';
import { addTextSearch } from './list-jobs.ts';
import { MIGRATIONS, migrate } from './migrations.ts';
import { addShownState } from './shown-jobs.ts';
import { isDamagedFile, isTemporary } from './sql.ts';

const OWNER_ONLY = 0o600;
const BUSY_TIMEOUT_MS = 5_000;
/** Size to which SQLite truncates the write-ahead log after a burst. */
const MAX_IDLE_WAL_BYTES = 64 * 1024 * 1024;

/** The database and the files that SQLite keeps beside it. */
export const ledgerFiles = (file: string): readonly string[] => [file, `${file}-wal`, `${file}-shm`];

/**
 * Opens the database in the writer's thread. Creates a missing one and migrates an older one.
 *
 * @throws AppError config.invalid when the file is damaged, is another program's, is newer than the
 * code or cannot be accessed; SQLite's own error for a temporary fault
 */
export function openDatabase(file: string): DatabaseSync {
  let db: DatabaseSync | null = null;
  try {
    refuseForeign(file);
    closeSync(openSync(file, 'a', OWNER_ONLY));
    chmodSync(file, OWNER_ONLY);
    db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      PRAGMA journal_size_limit = ${MAX_IDLE_WAL_BYTES}; PRAGMA cache_size = -16384`);
    checkIntegrity(db, file);
    migrate(db, file, MIGRATIONS);
    db.exec('PRAGMA temp_store = MEMORY'); // else each commit of a copy makes a temporary file
    addTextSearch(db);
    addShownState(db);
    return db;
  } catch (error) {
    db?.close();
    // A temporary fault (a full disk, a lock) becomes store.unavailable. Others need a person.
    if (error instanceof AppError || isTemporary(error)) throw error;
    const message = isDamagedFile(error) ? damaged(file, messageOf(error)) : unusable(file, error);
    throw new AppError('config.invalid', message, { cause: error });
  }
}

/** Another program's database is left as it is: its mode and its journal, too. */
function refuseForeign(file: string): void {
  if (!existsSync(file) || statSync(file).size === 0) return;
  const db = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
  try {
    const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const names = tables.map(({ name }) => String(name));
    if (names.length === 0 || names.includes('executions')) return;
    const message = `${file} is a database of another program (it has ${names[0]}); is BULLPEN_DATABASE_PATH or DATABASE_PATH meant for that program?`;
    throw new AppError('config.invalid', message);
  } finally {
    db.close();
  }
}

const damaged = (file: string, detail: string): string =>
  `the ledger ${file} is damaged or not a database (${detail}); put a backup in its place, or move it away to start a new one`;

const unusable = (file: string, error: unknown): string =>
  `the ledger ${file} cannot be opened: ${messageOf(error)}`;

/**
 * The check takes about a second per 100 MB, at every start. Damage in a larger file shows when it
 * is read.
 */
const MAX_CHECKED_BYTES = 64 * 1024 * 1024;

function checkIntegrity(db: DatabaseSync, file: string): void {
  if (statSync(file).size > MAX_CHECKED_BYTES) return;
  const result = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
  if (result === 'ok') return;
  const message = `the ledger ${file} is damaged (${String(result)}); put a backup in its place, or move it away to start a new one`;
  throw new AppError('config.invalid', message);
}
