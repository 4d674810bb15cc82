/** The views of the ledger, by the queries of docs/operations.md. */
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { AT, aFinishedJob, aJob, anOutcome, ledgerFile, testStore } from './test-store.ts';

const PAGE = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
const queries = [...PAGE.matchAll(/^sqlite3 -readonly ledger\.db "(SELECT [^"]*)"$/gm)].map(
  ([, sql = '']) => sql,
);

it('the queries of the documentation answer what a dashboard asks', async () => {
  const file = ledgerFile();
  const store = await testStore(file);
  const done = [
    aFinishedJob(AT, { request: { tags: ['a', 'b'] } }),
    aFinishedJob(AT, { status: 'failed', request: { tags: ['a'] } }),
    aFinishedJob('2026-03-02T12:00:00.000Z', { project: 'web' }),
  ];
  const running = aJob({ status: 'running', startedAt: AT, attempts: 1, node: 'node-1' });
  const day = '2026-11-05T12:00:00.000Z';
  const events = done.map(({ id: jobId }, index) => {
    const executionId = `e${index}`;
    const body = { kind: 'execution.finished', executionId, outcome: anOutcome({ executionId }) } as const;
    return { jobId, seq: 1, attempt: 1, at: day, kind: body.kind, body: JSON.stringify(body), raw: null };
  });
  await store.run('copies.apply', { jobs: [...done, running], removed: [], cursor: null, events });

  const ledger = new DatabaseSync(file, { readOnly: true });
  const [byDay, now, byTag] = queries.map((sql) => ledger.prepare(sql).all());
  ledger.close();
  expect(byDay).toEqual([
    { day: '2026-03-02', provider: 'claude', jobs: 1, failed: 0 },
    { day: '2026-03-01', provider: 'claude', jobs: 3, failed: 1 },
  ]);
  expect(now).toEqual([{ id: running.id, provider: 'claude', node: 'node-1', started_at: AT }]);
  expect(byTag).toEqual([
    { tag: 'a', usd: 0.5 },
    { tag: 'b', usd: 0.25 },
  ]);
});
