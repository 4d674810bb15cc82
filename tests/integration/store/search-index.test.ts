import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { openStore, type Store } from '../../../src/store/store.ts';
import { eventually } from '../../helpers/eventually.ts';
import { AT, aFinishedJob, aJob, anOutcome, aQuery, ledgerFile, project, testStore } from './test-store.ts';

const PATIENT = { timeoutMs: 20_000 };
const indexOf = (file: string): string => join(dirname(file), 'search.db');

function indexed(file: string): string[] {
  if (!existsSync(indexOf(file))) return [];
  const db = new DatabaseSync(indexOf(file), { readOnly: true });
  try {
    return db
      .prepare('SELECT DISTINCT job_id AS id FROM indexed ORDER BY job_id')
      .all()
      .map(({ id }) => String(id));
  } catch {
    return []; // its tables are being made
  } finally {
    db.close();
  }
}

/** The texts of a job that are indexed. */
function parts(file: string, jobId: string): unknown[] {
  const db = new DatabaseSync(indexOf(file), { readOnly: true });
  const rows = db.prepare('SELECT part FROM indexed WHERE job_id = ? ORDER BY part').all(jobId);
  db.close();
  return rows.map(({ part }) => part);
}

const idsFor = async (store: Store, q?: string): Promise<string[]> =>
  (
    await store.run('jobs.list', {
      project: null,
      query: aQuery({ ...(q !== undefined && { q }), limit: 100 }),
    })
  ).rows.map(({ id }) => id);

/** Asks for a list, so that there is a reader, and waits until it has indexed just these jobs. */
async function untilIndexed(store: Store, file: string, ids: readonly string[]): Promise<void> {
  await idsFor(store);
  await eventually(() => expect(indexed(file)).toEqual([...ids].sort()), PATIENT);
}

const PROMPTS = [
  'Fix the parser: "quoted" AND it\'s 100%_done \\ NEAR(x) * ^y',
  'fix THE PARSER in src/parse.ts',
  'ΟΔΟΣ και İstanbul, straße, naïve Ünïcode',
  '日本語のテスト 🐂🐂 emoji',
  `${'long '.repeat(10_000)}needle at its end`,
  'ab',
  'K is the Kelvin sign',
];
const QUERIES = [
  ...[
    'parser',
    'PARSER',
    'the parser',
    '"quoted"',
    'AND',
    "it's",
    '100%_',
    '%_d',
    '\\ NEAR(',
    '* ^y',
    'src/parse.ts',
  ],
  ...['οδος', 'ΟΔΟΣ', 'i̇stanbul', 'İst', 'STRASSE', 'straße', 'ünïcode', 'NAÏVE'],
  ...['日本語', '本語の', '🐂🐂', '🐂 e', 'needle', 'long long', 'ab', 'a', 'kelvin', 'K is', 'no such text'],
];

it('finds text in any case, like a search through each prompt', async () => {
  const file = ledgerFile();
  const store = await testStore(file);
  const jobs = PROMPTS.map((prompt) => aJob({ request: { prompt } }));
  await project(store, ...jobs);
  const before = await Promise.all(QUERIES.map((q) => idsFor(store, q)));
  await untilIndexed(
    store,
    file,
    jobs.map(({ id }) => id),
  );
  const after = await Promise.all(QUERIES.map((q) => idsFor(store, q)));
  expect(after).toEqual(before);
  expect(after.filter((ids) => ids.length > 0).length).toBeGreaterThan(QUERIES.length - 5);
  expect(statSync(indexOf(file)).mode & 0o777).toBe(0o600);
});

it('follows the ledger: new jobs, changed ones, deleted ones, and those that grew too old', async () => {
  const file = ledgerFile();
  const store = await testStore(file);
  const day = (n: number) => `2026-03-0${n}T00:00:00.000Z`;
  const [old, gone, kept] = [1, 2, 3].map((n) =>
    aFinishedJob(day(n), { request: { prompt: `the ${n} needle` } }),
  );
  if (!old || !gone || !kept) throw new Error('three jobs');
  await project(store, old, gone);
  await untilIndexed(store, file, [old.id, gone.id]);
  await project(store, kept);
  await project(store, { ...kept, rev: 2 });
  // Found at once, whether the index has it or not.
  expect(await idsFor(store, 'needle')).toEqual([kept.id, gone.id, old.id]);
  await store.run('jobs.delete', { id: gone.id });
  expect(await idsFor(store, 'needle')).toEqual([kept.id, old.id]);
  const sweep = { finishedJobsBefore: day(2), eventsBefore: day(2), usageBefore: day(1), limit: 10 };
  await store.run('retention.sweep', sweep);
  await untilIndexed(store, file, [kept.id]);
  expect(await idsFor(store, 'the 3 needle')).toEqual([kept.id]);
});

it('finds text of answers, when a job has ended and in jobs that have ended before', async () => {
  const file = ledgerFile();
  const store = await testStore(file);
  const outcome = anOutcome({ text: 'The Parser is in ÜNÏ/Parse.ts.\n"Quoted" 100%' });
  const runs = aJob({ request: { prompt: 'where is it?' } });
  const other = aFinishedJob(AT, { outcome: anOutcome({ text: 'elsewhere' }) });
  await project(store, runs, other);
  await untilIndexed(store, file, [runs.id, other.id]);
  expect(await idsFor(store, 'the parser')).toEqual([]);
  const ended = { ...aFinishedJob(AT, { ...runs, rev: 2 }), status: 'succeeded', outcome } as const;
  await project(store, { ...ended, finishedAt: AT });
  const queries = [
    'the parser',
    'PARSE.TS',
    'ünï/',
    '"quoted" 100%',
    'quoted\\" 1',
    '\\n"q',
    'where is',
    'else',
  ];
  const found = () => Promise.all(queries.map(async (q) => (await idsFor(store, q)).length));
  const expected = [1, 1, 1, 1, 0, 0, 1, 1];
  expect(await found()).toEqual(expected); // whether the index has it or not
  await eventually(() => expect(parts(file, runs.id)).toEqual(['answer', 'prompt']), PATIENT);
  expect(await found()).toEqual(expected);
  expect(await idsFor(store, 'the parser')).toEqual([runs.id]);
});

it('of a version without answers is made again', async () => {
  const file = ledgerFile();
  const old = new DatabaseSync(indexOf(file));
  old.exec(`CREATE TABLE indexed (number INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL UNIQUE,
      long INTEGER NOT NULL) STRICT;
    CREATE INDEX indexed_long ON indexed (long) WHERE long = 1;
    CREATE VIRTUAL TABLE pieces USING fts5(prompt, content = '', contentless_delete = 1, detail = none,
      tokenize = 'trigram case_sensitive 1')`);
  const store = await testStore(file);
  const job = aFinishedJob(AT, { outcome: anOutcome({ text: 'needle' }) });
  old.prepare('INSERT INTO indexed (job_id, long) VALUES (?, 0)').run(job.id);
  old.close();
  await project(store, job);
  await idsFor(store);
  await eventually(() => expect(parts(file, job.id)).toEqual(['answer', 'prompt']), PATIENT);
  expect(await idsFor(store, 'needle')).toEqual([job.id]);
});

it('is rebuilt when it is damaged or missing, and holds a job that was created in between', async () => {
  const file = ledgerFile();
  const first = await openStore({ file, logger: pino({ enabled: false }) });
  const jobs = [aJob({ request: { prompt: 'one needle' } }), aJob({ request: { prompt: 'two needles' } })];
  const ids = jobs.map(({ id }) => id);
  await project(first, ...jobs.slice(0, 1));
  await untilIndexed(first, file, ids.slice(0, 1));
  await project(first, ...jobs.slice(1));
  await first.close();
  expect(existsSync(`${file}-wal`)).toBe(false);
  const bytes = readFileSync(indexOf(file));
  writeFileSync(indexOf(file), bytes.fill(7, 0, 100));
  const store = await testStore(file);
  await untilIndexed(store, file, ids);
  expect((await idsFor(store, 'needle')).sort()).toEqual([...ids].sort());
});
