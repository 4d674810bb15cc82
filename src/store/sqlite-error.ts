import { AppError, messageOf } from '../errors.ts';
import type { ThreadError } from './thread-messages.ts';

/** Primary result codes, https://www.sqlite.org/rescode.html: the machine's fault, not the statement's. */
const MACHINE: ReadonlyMap<number, string> = new Map([
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

const DAMAGE = [11, 26];
const PASSING = [5, 6, 7, 10, 13];

/** The primary SQLite result code of anything thrown, or null. */
export function sqliteCode(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error)) return null;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : null;
}

/** Whether SQLite found that the file is damaged or not its own. */
export const isDamage = (error: unknown): boolean => DAMAGE.includes(sqliteCode(error) ?? 0);

/** Whether the same may succeed later with nobody mending the file. */
export const isPassing = (error: unknown): boolean => PASSING.includes(sqliteCode(error) ?? 0);

/** Anything thrown by an operation, as it crosses from the thread. */
export function storeError(error: unknown): ThreadError {
  if (error instanceof AppError)
    return { code: error.code, message: error.message, problems: error.problems };
  const reason = MACHINE.get(sqliteCode(error) ?? 0);
  if (reason === undefined) return { code: 'internal.error', message: messageOf(error), problems: [] };
  const message = `the ledger cannot be used: ${reason} (${messageOf(error)})`;
  return { code: 'store.unavailable', message, problems: [] };
}
