import { DatabaseSync } from 'node:sqlite';
import { expect, it, onTestFinished } from 'vitest';
import { all } from '../../../src/store/sql.ts';

/** A database that counts how often it prepares each text. */
class CountingDatabase extends DatabaseSync {
  readonly prepared = new Map<string, number>();
  override prepare(sql: string) {
    this.prepared.set(sql, (this.prepared.get(sql) ?? 0) + 1);
    return super.prepare(sql);
  }
}

it('keeps the statements that are used, and not one for each text there ever was', () => {
  const db = new CountingDatabase(':memory:');
  onTestFinished(() => db.close());
  const often = 'SELECT ? AS n';
  const texts = Array.from({ length: 1000 }, (_, index) => `SELECT ${index} AS n`);
  for (const text of [...texts, ...texts]) {
    all(db, text);
    expect(all(db, often, 1)).toEqual([{ n: 1 }]);
  }
  expect(db.prepared.get(often)).toBe(1);
  for (const text of texts) expect(db.prepared.get(text), text).toBe(2);
});
