/**
 * An index over the prompts and answers of all jobs, in a file beside the main database. It holds
 * the distinct pieces of three characters of each text.
 *
 * The index only narrows a search; the main database decides. A job that is not indexed counts as a
 * match. So the index may lag, lack a text or be deleted, and searches stay correct.
 */
import { chmodSync, closeSync, openSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { ANSWER } from './list-jobs.ts';
import { all, change, first, isDamagedFile } from './sql.ts';

/**
 * A longer text is not indexed, because cutting it takes too long. It always counts as a match.
 */
const MAX_INDEXED_BYTES = 32 * 1024;
/** With more matches than this, reading the jobs from the newest on is faster. */
const MAX_CANDIDATES = 2000;
const PAGE = 500;
/** A step starts no further job after this time. */
const STEP_MS = 10;
const MAX_PIECES = 64;
const PIECE_LENGTH = 3;

const PRAGMAS =
  'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;';
/** An index of another version is made again. The first version had prompts only. */
const VERSION = 2;
/** `long`: the text is too long to be indexed. A number is never used again. */
const SCHEMA = `
DROP TABLE IF EXISTS pieces;
DROP TABLE IF EXISTS indexed;
CREATE TABLE indexed (
  number INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL,
  part TEXT NOT NULL CHECK (part IN ('prompt', 'answer')), long INTEGER NOT NULL, UNIQUE (job_id, part)
) STRICT;
CREATE INDEX indexed_long ON indexed (long) WHERE long = 1;
CREATE VIRTUAL TABLE pieces USING
  fts5(text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1');
PRAGMA user_version = ${VERSION};
`;

/** The texts of a job. The answer is indexed when the job has ended: it never changes then. */
const TEXTS = { prompt: 'prompt', answer: ANSWER } as const;
type Part = keyof typeof TEXTS;

export interface SearchIndex {
  /** Returns ids that include every job with the text; null: any job may have it. */
  candidates(text: string): readonly string[] | null;
  /** Call when these jobs were added, changed or removed. */
  changed(ids: readonly string[]): void;
  /** Call when any job may have been added or removed. */
  anyChanged(): void;
  /** Updates the index for some milliseconds. Returns false when it is up to date. */
  step(): boolean;
  close(): void;
}

/** @param main the database that holds the jobs */
export function openSearchIndex(file: string, main: DatabaseSync): SearchIndex {
  const db = openOrRebuild(file);
  /** Jobs whose entries may be out of date. */
  const stale = new Set<string>();
  /** The job id up to which the index was compared with the main database; null: to the end. */
  let comparedTo: string | null = '';
  let complete = false;

  /** Compares the next page of job ids. */
  function compare(after: string): void {
    const jobs = all<{ id: string; texts: number }>(
      main,
      'SELECT id, 1 + (outcome IS NOT NULL) AS texts FROM jobs WHERE id > ? ORDER BY id LIMIT ?',
      after,
      PAGE,
    );
    const last = jobs.length < PAGE ? null : (jobs.at(-1)?.id ?? null);
    const known = all<{ id: string; texts: number }>(
      db,
      `SELECT job_id AS id, count(*) AS texts FROM indexed
       WHERE job_id > ? AND (? IS NULL OR job_id <= ?) GROUP BY job_id`,
      after,
      last,
      last,
    );
    const indexed = new Map(known.map(({ id, texts }) => [id, texts]));
    for (const { id, texts } of jobs) {
      if (indexed.get(id) !== texts) stale.add(id);
      indexed.delete(id);
    }
    for (const id of indexed.keys()) stale.add(id); // the job is gone
    comparedTo = last;
  }

  function update(id: string): void {
    const known = all<{ number: number; part: Part }>(
      db,
      'SELECT number, part FROM indexed WHERE job_id = ?',
      id,
    );
    const job = first<Record<Part, number | null>>(
      main,
      `SELECT octet_length(prompt) AS prompt, iif(outcome IS NULL, NULL, octet_length(${ANSWER})) AS answer
       FROM jobs WHERE id = ?`,
      id,
    );
    for (const part of ['prompt', 'answer'] as const) {
      const bytes = job?.[part] ?? null;
      if (bytes !== null && !known.some((one) => one.part === part)) add(id, part, bytes > MAX_INDEXED_BYTES);
    }
    if (job !== null) return;
    for (const { number } of known) {
      change(db, 'DELETE FROM pieces WHERE rowid = ?', number);
      change(db, 'DELETE FROM indexed WHERE number = ?', number);
    }
  }

  function add(id: string, part: Part, long: boolean): void {
    change(db, 'INSERT INTO indexed (job_id, part, long) VALUES (?, ?, ?)', id, part, long ? 1 : 0);
    if (long) return;
    const job = first<{ text: string }>(main, `SELECT ${TEXTS[part]} AS text FROM jobs WHERE id = ?`, id);
    const sql =
      'INSERT INTO pieces (rowid, text) SELECT number, ? FROM indexed WHERE job_id = ? AND part = ?';
    change(db, sql, (job?.text ?? '').toLowerCase(), id, part);
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
         UNION SELECT job_id FROM indexed WHERE long = 1 LIMIT ?2`,
        match,
        MAX_CANDIDATES,
      );
      const ids = [...found.map(({ id }) => id), ...stale];
      return ids.length < MAX_CANDIDATES ? ids : null;
    },

    changed(ids) {
      for (const id of ids) stale.add(id);
    },

    anyChanged() {
      comparedTo = '';
    },

    step() {
      const until = performance.now() + STEP_MS;
      db.exec('BEGIN');
      try {
        while (performance.now() < until && (stale.size > 0 || comparedTo !== null)) {
          const [id] = stale;
          if (id === undefined) compare(comparedTo ?? '');
          else {
            update(id);
            stale.delete(id);
          }
        }
        db.exec('COMMIT');
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK');
        // The rollback undid this step, so everything is compared again.
        complete = false;
        comparedTo = '';
        throw error;
      }
      const upToDate = stale.size === 0 && comparedTo === null;
      complete ||= upToDate;
      return !upToDate;
    },

    close: () => db.close(),
  };
}

/** Deletes a damaged index: it can be rebuilt from the main database. */
function openOrRebuild(file: string): DatabaseSync {
  try {
    return open(file);
  } catch (error) {
    if (!isDamagedFile(error)) throw error;
    for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
    return open(file);
  }
}

function open(file: string): DatabaseSync {
  closeSync(openSync(file, 'a', 0o600));
  chmodSync(file, 0o600);
  const db = new DatabaseSync(file, { timeout: 1000 });
  try {
    db.exec(PRAGMAS);
    const version = first<{ user_version: number }>(db, 'PRAGMA user_version')?.user_version;
    if (version !== VERSION) db.exec(`BEGIN; ${SCHEMA} COMMIT`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
