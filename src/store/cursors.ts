import type { DatabaseSync } from 'node:sqlite';
import type { NamedCursor } from './rows.ts';
import { change, first } from './statement.ts';

/** Moves a cursor; part of the transaction that applied what it points at. */
export function saveCursor(db: DatabaseSync, cursor: NamedCursor): void {
  change(
    db,
    'INSERT INTO cursors (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    cursor.name,
    cursor.value,
  );
}

export const cursorReads = {
  /** How far a log was projected; null before the first time. */
  'cursors.get'(db: DatabaseSync, args: { readonly name: string }): string | null {
    return first<NamedCursor>(db, 'SELECT name, value FROM cursors WHERE name = ?', args.name)?.value ?? null;
  },
};
