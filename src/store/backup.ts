import { closeSync, fsyncSync, openSync, renameSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

/** Writes a whole copy of a database to `target`, readable by the owner alone; replaces an earlier one. */
export function backUp(db: DatabaseSync, target: string): void {
  const partial = `${target}.partial`;
  // VACUUM INTO accepts an empty file, and keeps its mode.
  closeSync(openSync(partial, 'w', 0o600));
  db.prepare('VACUUM INTO ?').run(partial);
  const copy = openSync(partial, 'r');
  fsyncSync(copy);
  closeSync(copy);
  renameSync(partial, target);
}
