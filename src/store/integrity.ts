import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { AppError } from '../errors.ts';

/** The check takes about a second per 100 MB, at every start; damage in a larger file shows when it is met. */
const MAX_CHECKED_BYTES = 64 * 1024 * 1024;

/** Refuses a damaged ledger before anything is appended to it. Throws AppError config.invalid. */
export function checkIntegrity(db: DatabaseSync, file: string): void {
  if (statSync(file).size > MAX_CHECKED_BYTES) return;
  const result = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
  if (result === 'ok') return;
  throw new AppError(
    'config.invalid',
    `the ledger ${file} is damaged (${String(result)}); put a backup in its place, or move it away to start a new one`,
  );
}
