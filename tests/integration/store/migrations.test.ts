import { chmodSync, existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MIGRATIONS, type Migration, migrate } from '../../../src/store/migrations.ts';
import { openStore } from '../../../src/store/store.ts';
import { aJob, ledgerFile, project } from './test-store.ts';

const step = (version: number, sql: string): Migration => ({ version, name: `step-${version}`, sql });
const first = step(1, 'CREATE TABLE a (x TEXT)');

function database(file: string): DatabaseSync {
  const db = new DatabaseSync(file);
  onTestFinished(() => db.close());
  return db;
}

const versionOf = (db: DatabaseSync) => db.prepare('PRAGMA user_version').get()?.['user_version'];
const tablesOf = (db: DatabaseSync) =>
  db
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`)
    .all()
    .map(({ name }) => name);

const open = (file: string) => openStore({ file, logger: pino({ enabled: false }) });

describe('migrations', () => {
  it('are numbered from 1 without gaps', () => {
    expect(MIGRATIONS.map(({ version }) => version)).toEqual(MIGRATIONS.map((_, index) => index + 1));
  });

  it('bring an older database to the last version after a private copy of it', () => {
    const file = ledgerFile();
    const db = database(file);
    migrate(db, file, [first]);
    db.exec(`INSERT INTO a VALUES ('kept')`);
    expect(existsSync(`${file}.v1.backup`)).toBe(false);
    migrate(db, file, [first, step(2, 'CREATE TABLE b (y TEXT)'), step(3, 'CREATE TABLE c (z TEXT)')]);
    expect([versionOf(db), tablesOf(db)]).toEqual([3, ['a', 'b', 'c']]);
    const copy = database(`${file}.v1.backup`);
    expect([versionOf(copy), tablesOf(copy)]).toEqual([1, ['a']]);
    expect(copy.prepare('SELECT x FROM a').all()).toMatchObject([{ x: 'kept' }]);
    expect(statSync(`${file}.v1.backup`).mode & 0o777).toBe(0o600);
  });

  it('skip an event that cannot be read', () => {
    const file = ledgerFile();
    const db = database(file);
    migrate(db, file, MIGRATIONS.slice(0, 3));
    const at = '2026-11-01T00:00:00.000Z';
    const job = `INSERT INTO jobs (id, rev, kind, owner, status, provider, cwd, attempts, created_at, finished_at, updated_at,
      cancel_requested, tags, metadata, request, outcome, prompt)
      VALUES (?, 1, 'api', 'admin', 'failed', 'claude', '/', 1, '${at}', '${at}', '${at}', 0, '[]', '{}', '{}', '{}', 'x')`;
    const event = `INSERT INTO events (job_id, seq, attempt, at, kind, body) VALUES (?, 1, 1, '${at}', 'session', ?)`;
    const bodies = { good: '{"sessionId":"s","nativeSessionId":"n"}', bad: '{' };
    for (const [id, body] of Object.entries(bodies)) {
      db.prepare(job).run(id);
      db.prepare(event).run(id, body);
    }
    migrate(db, file, MIGRATIONS);
    expect(db.prepare('SELECT session_id, job_id FROM job_sessions').all()).toMatchObject([
      { session_id: 's', job_id: 'good' },
    ]);
  });

  it('give jobs of version 5 a project, a principal, a session and failures, and keep their other rows', async () => {
    const file = ledgerFile();
    const db = database(file);
    migrate(db, file, MIGRATIONS.slice(0, 5));
    const at = '2026-11-01T00:00:00.000Z';
    const insert =
      db.prepare(`INSERT INTO jobs (id, rev, kind, owner, status, provider, cwd, attempts, created_at,
      finished_at, updated_at, cancel_requested, tags, metadata, request, outcome, prompt)
      VALUES (?, 3, 'api', 'ann', ?, 'claude', '/', ?, '${at}', ?, '${at}', 0, '["t"]', '{}', ?, ?, 'a prompt')`);
    const outcome =
      '{"sessionId":"begun","error":{"code":"x"},"usage":{"costUsd":0.5},"permissionDenials":[1]}';
    insert.run('resumes', 'failed', 2, at, '{"sessionId":"resumed"}', null);
    insert.run('begins', 'succeeded', 3, at, '{"sessionId":null}', outcome);
    insert.run('waits', 'queued', 0, null, '{', null); // its request is damaged
    db.exec(`INSERT INTO job_tags VALUES ('t', 'begins'); INSERT INTO batch_jobs VALUES ('b', 'begins');
      INSERT INTO job_denials VALUES ('begins', 1);
      INSERT INTO usage VALUES ('e', 'begins', '${at}', 'ann', 'claude', NULL, '[]', 'succeeded', 1, 1, 0, 0, 0.5, 'reported')`);
    migrate(db, file, MIGRATIONS);
    const columns = 'id, project, principal, session_id, failures, prompt_preview, cost_usd, error';
    const older = {
      project: 'default',
      principal: 'ann',
      prompt_preview: 'a prompt',
      cost_usd: null,
      error: null,
    };
    expect(db.prepare(`SELECT ${columns} FROM jobs ORDER BY id`).all()).toEqual([
      { ...older, id: 'begins', session_id: 'begun', failures: 2, cost_usd: 0.5, error: '{"code":"x"}' },
      { ...older, id: 'resumes', session_id: 'resumed', failures: 2 },
      { ...older, id: 'waits', session_id: 'waits', failures: 0 },
    ]);
    const counts = ['job_tags', 'batch_jobs', 'job_denials'].map((table) =>
      Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']),
    );
    expect(counts).toEqual([1, 1, 1]);
    expect(db.prepare('SELECT project, principal FROM usage').all()).toEqual([
      { project: 'default', principal: 'ann' },
    ]);
    expect(db.prepare('PRAGMA foreign_key_check').all()).toEqual([]);
    const store = await open(file);
    onTestFinished(() => store.close());
    await store.run('jobs.delete', { id: 'begins' });
    expect(db.prepare('SELECT count(*) AS n FROM job_tags').get()).toEqual({ n: 0 });
  });

  it('apply all steps or none', () => {
    const file = ledgerFile();
    const db = database(file);
    migrate(db, file, [first]);
    const steps = [first, step(2, 'CREATE TABLE b (y TEXT)'), step(3, 'CREATE TABLE b (again TEXT)')];
    expect(() => migrate(db, file, steps)).toThrow('already exists');
    expect([versionOf(db), tablesOf(db), db.isTransaction]).toEqual([1, ['a'], false]);
  });

  it('refuse a database that is newer than the code', async () => {
    const file = ledgerFile();
    await (await open(file)).close();
    const db = database(file);
    db.exec('PRAGMA user_version = 99');
    const refused = {
      code: 'config.invalid',
      message: expect.stringContaining('newer Bullpen (its version is 99'),
    };
    await expect(open(file)).rejects.toMatchObject(refused);
  });

  it('leave the database of another program as it is, whatever version it names', async () => {
    const file = ledgerFile();
    database(file).exec('CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = 5');
    chmodSync(file, 0o644);
    const before = readFileSync(file);
    const refused = { code: 'config.invalid', message: expect.stringContaining('DATABASE_PATH') };
    await expect(open(file)).rejects.toMatchObject(refused);
    expect(statSync(file).mode & 0o777).toBe(0o644);
    expect(readFileSync(file)).toEqual(before);
  });

  it('refuse the database of another program', async () => {
    const file = ledgerFile();
    database(file).exec('CREATE TABLE bookmarks (url TEXT)');
    const refused = {
      code: 'config.invalid',
      message: expect.stringContaining('another program (it has bookmarks)'),
    };
    await expect(open(file)).rejects.toMatchObject(refused);
  });
});

describe('a damaged ledger is refused with a sentence that names it', () => {
  const refusal = (file: string) => ({
    code: 'config.invalid',
    message: expect.stringMatching(new RegExp(`^the ledger ${file} is damaged`)),
  });

  async function filled(): Promise<string> {
    const file = ledgerFile();
    const store = await open(file);
    await project(
      store,
      ...Array.from({ length: 200 }, () => aJob({ request: { prompt: 'x'.repeat(3000) } })),
    );
    await store.close();
    return file;
  }

  it('when it is not a database, which is left as it was', async () => {
    const file = ledgerFile();
    writeFileSync(file, 'something else entirely\n'.repeat(1000));
    await expect(open(file)).rejects.toMatchObject(refusal(file));
    expect(readFileSync(file, 'utf8')).toMatch(/^something else/);
  });

  it('when it was cut off', async () => {
    const file = await filled();
    truncateSync(file, statSync(file).size / 2);
    await expect(open(file)).rejects.toMatchObject(refusal(file));
  });

  it('when a page was overwritten', async () => {
    const file = await filled();
    const bytes = readFileSync(file);
    bytes.fill(0xff, 4096 * 20, 4096 * 24);
    writeFileSync(file, bytes);
    await expect(open(file)).rejects.toMatchObject(refusal(file));
  });
});

it('a ledger in a folder that is not there is refused', async () => {
  await expect(open(`${ledgerFile()}/missing/ledger.db`)).rejects.toMatchObject({ code: 'config.invalid' });
});
