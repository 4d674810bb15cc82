/** This node's copies of the callers' keys. */
import type { DatabaseSync } from 'node:sqlite';
import type { KeyCopies, KeyRecord } from '../auth/ports.ts';
import { all, change, readable } from './sql.ts';
import type { Store } from './store.ts';

/** {@link KeyCopies} in the store. */
export const createKeyCopies = (store: Pick<Store, 'run'>): KeyCopies => ({
  all: () => store.run('keys.all', {}),
  put: (records) => store.run('keys.put', { records }),
});

export const keyReads = {
  'keys.all'(db: DatabaseSync, _args: Record<string, never>): KeyRecord[] {
    const rows = all<{ id: string; record: string }>(db, 'SELECT id, record FROM keys');
    return rows.flatMap(({ id, record }) => readable(`key ${id}`, (): KeyRecord => JSON.parse(record)));
  },
};

export const keyWrites = {
  /** A copy that is as new stays. */
  'keys.put'(db: DatabaseSync, args: { readonly records: readonly KeyRecord[] }): void {
    const sql = `INSERT INTO keys (id, rev, record) VALUES (?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, record = excluded.record WHERE excluded.rev > keys.rev`;
    for (const record of args.records) change(db, sql, record.id, record.rev, JSON.stringify(record));
  },
};
