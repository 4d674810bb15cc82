/**
 * What every operation uses in the store's threads: prepared statements, rows that cannot be read,
 * SQLite's errors.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { Damage } from '../damage.ts';
import { AppError, messageOf } from '../errors.ts';
import type { ThreadError } from './thread.ts';

/**
 * Statements kept for each database, the last used ones. Each combination of a list's filters is a
 * text of its own; all other texts together are some 130.
 */
const MAX_STATEMENTS = 300;

const cache = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

function statement(db: DatabaseSync, sql: string): StatementSync {
  let statements = cache.get(db);
  if (statements === undefined) {
    statements = new Map();
    cache.set(db, statements);
  }
  const prepared = statements.get(sql) ?? db.prepare(sql);
  statements.delete(sql);
  statements.set(sql, prepared); // the last place is that of the last use
  const [oldest] = statements.size > MAX_STATEMENTS ? statements.keys() : [];
  if (oldest !== undefined) statements.delete(oldest);
  return prepared;
}

type Parameters = readonly SQLInputValue[];

/** Returns every row. `Row` names the selected columns. */
export function all<Row>(db: DatabaseSync, sql: string, ...parameters: Parameters): Row[] {
  // as: rows are written only by this folder, into STRICT tables.
  return statement(db, sql).all(...parameters) as Row[];
}

/** Returns the first row, or null. */
export function first<Row>(db: DatabaseSync, sql: string, ...parameters: Parameters): Row | null {
  // as: see `all`.
  return (statement(db, sql).get(...parameters) as Row | undefined) ?? null;
}

/** Runs a statement and returns how many rows it changed. */
export function change(db: DatabaseSync, sql: string, ...parameters: Parameters): number {
  return Number(statement(db, sql).run(...parameters).changes);
}

/**
 * Damaged rows found in this thread. The replies of the same batch carry them to the main thread.
 */
const damaged: Damage[] = [];

export const reportRow = (id: string, why: string): void => void damaged.push({ kind: 'row', id, why });

/**
 * Returns the result of `read` in an array; reports the row and returns an empty one when `read`
 * throws.
 */
export function readable<T>(id: string, read: () => T): T[] {
  try {
    return [read()];
  } catch (error) {
    reportRow(id, messageOf(error));
    return [];
  }
}

/** Returns the damaged rows found since the last call. */
export const takeDamage = (): Damage[] => damaged.splice(0);

/**
 * Primary result codes (https://www.sqlite.org/rescode.html) for faults of the machine, not of a
 * statement.
 */
const MACHINE_FAULTS: ReadonlyMap<number, string> = new Map([
  [5, 'another program holds its lock'],
  [6, 'another program holds its lock'],
  [7, 'no memory is left'],
  [8, 'it is read-only'],
  [10, 'the disk failed'],
  [11, 'the file is damaged'],
  [13, 'the disk is full'],
  [14, 'the file cannot be opened'],
  [26, 'the file is not a database'],
]);

const DAMAGED = [11, 26];
const TEMPORARY = [5, 6, 7, 10, 13];

/** Returns the primary SQLite result code of an error; 0 when it is not SQLite's. */
function sqliteCode(error: unknown): number {
  if (!(error instanceof Error) || !('errcode' in error)) return 0;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : 0;
}

/** Whether SQLite found that the file is damaged or not a database. */
export const isDamagedFile = (error: unknown): boolean => DAMAGED.includes(sqliteCode(error));

/** Whether the same operation may succeed later without a repair of the file. */
export const isTemporary = (error: unknown): boolean => TEMPORARY.includes(sqliteCode(error));

/** Turns an error of an operation into data for the main thread. */
export function storeError(error: unknown): ThreadError {
  if (error instanceof AppError)
    return { code: error.code, message: error.message, problems: error.problems };
  const reason = MACHINE_FAULTS.get(sqliteCode(error));
  if (reason === undefined) return { code: 'internal.error', message: messageOf(error), problems: [] };
  const message = `the ledger cannot be used: ${reason} (${messageOf(error)})`;
  return { code: 'store.unavailable', message, problems: [] };
}
