import { closeSync, fsyncSync, openSync, renameSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { AppError } from '../errors.ts';
import { initial } from './migrations/0001-initial.ts';
import { usage } from './migrations/0002-usage.ts';
import { batches } from './migrations/0003-batches.ts';
import { sessions } from './migrations/0004-sessions.ts';
import { denials } from './migrations/0005-denials.ts';
import { projects } from './migrations/0006-projects.ts';
import { filters } from './migrations/0007-filters.ts';
import { batchCopies } from './migrations/0008-batch-copies.ts';
import { pins } from './migrations/0009-pins.ts';
import { keys } from './migrations/0010-keys.ts';
import { durations } from './migrations/0011-durations.ts';
import { grants } from './migrations/0012-grants.ts';
import { audit } from './migrations/0013-audit.ts';
import { views } from './migrations/0014-views.ts';
import { sessionRecords } from './migrations/0015-session-records.ts';
import { terminals } from './migrations/0016-terminals.ts';
import { executor } from './migrations/0017-executor.ts';
import { logins } from './migrations/0018-logins.ts';

export interface Migration {
  /** 1, 2, 3 … without gaps. `PRAGMA user_version` holds the version that was applied last. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** Forward only. A released migration never changes. */
export const MIGRATIONS: readonly Migration[] = [
  initial,
  usage,
  batches,
  sessions,
  denials,
  projects,
  filters,
  batchCopies,
  pins,
  keys,
  durations,
  grants,
  audit,
  views,
  sessionRecords,
  terminals,
  executor,
  logins,
];

/**
 * Applies the missing migrations, all or none, after a backup of the file.
 *
 * @throws AppError config.invalid when the database is newer than the code, or not Bullpen's
 */
export function migrate(db: DatabaseSync, file: string, migrations: readonly Migration[]): void {
  const current = versionOf(db);
  const latest = migrations.at(-1)?.version ?? 0;
  if (current > latest) {
    throw new AppError(
      'config.invalid',
      `the ledger ${file} was written by a newer Bullpen (its version is ${current}, this program knows ${latest}); install that release again, or start with another data folder`,
    );
  }
  if (current === latest) return;
  if (current > 0) backUp(db, `${file}.v${current}.backup`);
  else refuseForeign(db, file);
  // Off, or dropping a table that is rebuilt would delete the rows that refer to it.
  db.exec('PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE');
  try {
    for (const { version, sql } of migrations) if (version > current) db.exec(sql);
    db.exec(`PRAGMA user_version = ${latest}; COMMIT`);
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  } finally {
    db.exec('PRAGMA foreign_keys = ON');
  }
}

const versionOf = (db: DatabaseSync): number =>
  Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);

function refuseForeign(db: DatabaseSync, file: string): void {
  const table = db.prepare('SELECT name FROM sqlite_schema LIMIT 1').get()?.['name'];
  if (table === undefined) return;
  throw new AppError('config.invalid', `${file} is a database of another program (it has ${String(table)})`);
}

/** Writes a copy of the database that only the owner can read. Replaces an earlier copy. */
function backUp(db: DatabaseSync, target: string): void {
  const partial = `${target}.partial`;
  // VACUUM INTO accepts an empty file and keeps its mode.
  closeSync(openSync(partial, 'w', 0o600));
  db.prepare('VACUUM INTO ?').run(partial);
  const copy = openSync(partial, 'r');
  fsyncSync(copy);
  closeSync(copy);
  renameSync(partial, target);
}
