import { DatabaseSync } from 'node:sqlite';
import { expect, it, onTestFinished } from 'vitest';
import { commitTogether } from '../../../src/store/group-commit.ts';
import { openDatabase } from '../../../src/store/open-database.ts';
import type { OperationRequest } from '../../../src/store/thread-messages.ts';
import { anIntent, ledgerFile } from './test-store.ts';

const write = (id: number): OperationRequest => ({
  id,
  op: 'executions.intent',
  args: anIntent(`e${id}`),
  durable: true,
});

const read = (id: number): OperationRequest => ({ id, op: 'executions.unsettled', args: {}, durable: false });

function open<T extends DatabaseSync>(db: T): T {
  onTestFinished(() => db.close());
  return db;
}

it('changes fail and questions are answered while another program holds the lock; then changes go on', () => {
  const file = ledgerFile();
  const db = open(openDatabase(file));
  db.exec('PRAGMA busy_timeout = 0');
  const other = open(new DatabaseSync(file));
  other.exec('BEGIN IMMEDIATE');
  expect(commitTogether(db, [write(1), read(2)])).toEqual({
    commits: 0,
    replies: [
      { id: 1, ok: false, error: expect.objectContaining({ code: 'store.unavailable' }) },
      { id: 2, ok: true, value: [] },
    ],
  });
  other.exec('ROLLBACK');
  expect(commitTogether(db, [write(1), read(2)])).toMatchObject({
    commits: 1,
    replies: [{ ok: true }, { ok: true }],
  });
});

it('when the database takes no more pages, what fits is kept and only what does not fit fails', () => {
  const db = open(openDatabase(ledgerFile()));
  const pages = Number(db.prepare('PRAGMA page_count').get()?.['page_count']);
  db.exec(`PRAGMA max_page_count = ${pages + 2}`);
  const huge: OperationRequest = {
    id: 2,
    op: 'events.append',
    args: { jobId: 'j', events: [{ seq: 1, attempt: 1, kind: 'text', at: '', raw: 'x'.repeat(1_000_000) }] },
    durable: true,
  };
  const { replies } = commitTogether(db, [write(1), huge, write(3), read(4)]);
  expect(replies).toMatchObject([
    { id: 1, ok: true },
    { id: 2, ok: false, error: { code: 'store.unavailable' } },
    { id: 3, ok: true },
    { id: 4, ok: true, value: [{ executionId: 'e1' }, { executionId: 'e3' }] },
  ]);
  db.exec('PRAGMA max_page_count = 100000');
  expect(commitTogether(db, [huge])).toMatchObject({
    commits: 1,
    replies: [{ ok: true, value: { inserted: 1 } }],
  });
});
