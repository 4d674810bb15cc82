/**
 * An index over the prompts of all jobs, in a file of its own beside the ledger: for each prompt its distinct pieces of
 * three characters. It only narrows a search down; the ledger decides. What it does not know (yet) counts as a match,
 * so that it may lag, be deleted, or lack a prompt, and a search is right all the same.
 */
import { chmodSync, closeSync, openSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { isDamage } from './sqlite-error.ts';
import { all, change, first } from './statement.ts';

/** A longer prompt takes too long to be cut in pieces while a list waits: it always counts as a match. */
const MAX_INDEXED_BYTES = 32 * 1024;
/** With more matches than this the newest of them are found sooner by looking at one job after the other. */
const MAX_CANDIDATES = 2000;
const PAGE = 500;
/** How long one step takes at most, but for its last prompt. */
const STEP_MS = 10;
const MAX_PIECES = 64;
const PIECE_LENGTH = 3;

/** `long`: whether the prompt was too long to be cut in pieces. A number is never used again. */
const SCHEMA = `
PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;
CREATE TABLE IF NOT EXISTS indexed (
  number INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL UNIQUE, long INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS indexed_long ON indexed (long) WHERE long = 1;
CREATE VIRTUAL TABLE IF NOT EXISTS pieces USING
  fts5(prompt, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1');
`;

export interface SearchIndex {
  /** Ids among which all jobs are whose prompt holds this text; null: it may be any. */
  candidates(text: string): readonly string[] | null;
  /** These jobs have come, changed or gone. */
  changed(ids: readonly string[]): void;
  /** Any may have come or gone. */
  anyChanged(): void;
  /** Brings the index up to date for some milliseconds. False: it is. */
  step(): boolean;
  close(): void;
}

/** @param ledger the database of the jobs */
export function openSearchIndex(file: string, ledger: DatabaseSync): SearchIndex {
  const db = openOrAnew(file);
  const doubtful = new Set<string>();
  /** Up to which job id index and ledger have been compared; null: to the end. */
  let comparedTo: string | null = '';
  let complete = false;

  /** Compares the next page of both. */
  function compare(after: string): void {
    const ids = all<{ id: string }>(
      ledger,
      'SELECT id FROM jobs WHERE id > ? ORDER BY id LIMIT ?',
      after,
      PAGE,
    );
    const last = ids.length < PAGE ? null : (ids.at(-1)?.id ?? null);
    const known = all<{ id: string }>(
      db,
      'SELECT job_id AS id FROM indexed WHERE job_id > ? AND (? IS NULL OR job_id <= ?)',
      after,
      last,
      last,
    );
    const there = new Set(ids.map(({ id }) => id));
    const here = new Set(known.map(({ id }) => id));
    for (const id of there) if (!here.has(id)) doubtful.add(id);
    for (const id of here) if (!there.has(id)) doubtful.add(id);
    comparedTo = last;
  }

  function bringUpToDate(id: string): void {
    const entry = first<{ number: number }>(db, 'SELECT number FROM indexed WHERE job_id = ?', id);
    const job = first<{ bytes: number }>(
      ledger,
      'SELECT octet_length(prompt) AS bytes FROM jobs WHERE id = ?',
      id,
    );
    if (job !== null && entry === null) add(id, job.bytes > MAX_INDEXED_BYTES);
    if (job !== null || entry === null) return;
    change(db, 'DELETE FROM pieces WHERE rowid = ?', entry.number);
    change(db, 'DELETE FROM indexed WHERE number = ?', entry.number);
  }

  function add(id: string, long: boolean): void {
    change(db, 'INSERT INTO indexed (job_id, long) VALUES (?, ?)', id, long ? 1 : 0);
    if (long) return;
    const job = first<{ prompt: string }>(ledger, 'SELECT prompt FROM jobs WHERE id = ?', id);
    const sql = 'INSERT INTO pieces (rowid, prompt) SELECT number, ? FROM indexed WHERE job_id = ?';
    change(db, sql, (job?.prompt ?? '').toLowerCase(), id);
  }

  return {
    candidates(text) {
      const folded = text.toLowerCase();
      const characters = [...folded];
      if (!complete || characters.length < PIECE_LENGTH || !text.isWellFormed()) return null;
      const pieces = characters
        .slice(PIECE_LENGTH - 1)
        .map((_, at) => characters.slice(at, at + PIECE_LENGTH));
      const match = [...new Set(pieces.map((piece) => piece.join('')))]
        .slice(0, MAX_PIECES)
        .map((piece) => `"${piece.replaceAll('"', '""')}"`)
        .join(' AND ');
      const found = all<{ id: string }>(
        db,
        `SELECT job_id AS id FROM pieces JOIN indexed ON number = pieces.rowid WHERE pieces MATCH ?1
         UNION ALL SELECT job_id FROM indexed WHERE long = 1 LIMIT ?2`,
        match,
        MAX_CANDIDATES,
      );
      const ids = [...found.map(({ id }) => id), ...doubtful];
      return ids.length < MAX_CANDIDATES ? ids : null;
    },

    changed(ids) {
      for (const id of ids) doubtful.add(id);
    },

    anyChanged() {
      comparedTo = '';
    },

    step() {
      const until = performance.now() + STEP_MS;
      db.exec('BEGIN');
      try {
        while (performance.now() < until && (doubtful.size > 0 || comparedTo !== null)) {
          const [id] = doubtful;
          if (id === undefined) compare(comparedTo ?? '');
          else {
            bringUpToDate(id);
            doubtful.delete(id);
          }
        }
        db.exec('COMMIT');
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK');
        // What this step had done is undone.
        complete = false;
        comparedTo = '';
        throw error;
      }
      const upToDate = doubtful.size === 0 && comparedTo === null;
      complete ||= upToDate;
      return !upToDate;
    },

    close: () => db.close(),
  };
}

/** The index, made anew when it is damaged: nothing is in it that is not in the ledger. */
function openOrAnew(file: string): DatabaseSync {
  try {
    return open(file);
  } catch (error) {
    if (!isDamage(error)) throw error;
    for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
    return open(file);
  }
}

function open(file: string): DatabaseSync {
  closeSync(openSync(file, 'a', 0o600));
  chmodSync(file, 0o600);
  const db = new DatabaseSync(file, { timeout: 1000 });
  try {
    db.exec(SCHEMA);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
