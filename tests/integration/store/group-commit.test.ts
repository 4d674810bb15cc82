import { DatabaseSync } from 'node:sqlite';
import { expect, it, onTestFinished } from 'vitest';
import { commitTogether } from '../../../src/store/group-commit.ts';
import { openDatabase } from '../../../src/store/open-database.ts';
import type { OperationRequest } from '../../../src/store/thread.ts';
import { aJob, anIntent, ledgerFile } from './test-store.ts';

const write = (id: number): OperationRequest => ({
  id,
  op: 'executions.intent',
  args: anIntent(`e${id}`),
});

const read = (id: number): OperationRequest => ({ id, op: 'executions.unsettled', args: {} });

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

it('a commit waits for the disk unless all that it changes can be copied again', () => {
  const db = open(openDatabase(ledgerFile()));
  const copy: OperationRequest = {
    id: 9,
    op: 'copies.apply',
    args: { jobs: [aJob()], removed: [], cursor: { name: 'log', value: '1-0' } },
  };
  const levelAfter = (...requests: readonly OperationRequest[]): unknown => {
    expect(commitTogether(db, requests).replies.every(({ ok }) => ok)).toBe(true);
    return db.prepare('PRAGMA synchronous').get()?.['synchronous'];
  };
  const [normal, full] = [1, 2]; // sqlite.org/pragma.html#pragma_synchronous
  expect(levelAfter(copy)).toBe(normal);
  expect(levelAfter(copy, write(1))).toBe(full);
  expect(levelAfter(copy, read(2))).toBe(normal);
  expect(levelAfter(write(3))).toBe(full);
});
