import { DatabaseSync } from 'node:sqlite';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { AuditHead } from '../../../src/protocol/audit.ts';
import { type AuditRecord, decodeAudit } from '../../../src/records/audit-log.ts';
import { createAudit, createAuditHeads, trimAudit } from '../../../src/status/audit.ts';
import type { Store } from '../../../src/store/store.ts';
import { callerOf } from '../../fakes/principals.ts';
import { shared } from '../../helpers/shared.ts';
import { ledgerFile, testStore } from './test-store.ts';

const DAY_MS = 86_400_000;
const NOW = Date.now();

const anEntry = (ms: number, overrides: Partial<AuditRecord> = {}): AuditRecord => ({
  ...{ ms, n: 0, action: 'job.created', principal: 'key:a', project: 'web', target: `job-${ms}` },
  ...{ address: '10.0.0.7', requestId: 'r', details: '' },
  ...overrides,
});

/** The audit of a ledger, with its head in a Redis that is a variable. */
async function setUp(file = ledgerFile()) {
  const store = await testStore(file);
  let noted: AuditHead | null = null;
  const errors: string[] = [];
  const log = {
    append: async () => undefined,
    head: async () => noted,
    noteHead: async (head: AuditHead) => {
      noted = head;
    },
  };
  const logger = pino({ level: 'error' }, { write: (line: string) => void errors.push(line) });
  const audit = createAudit({ log, store, copier: { catchUp: async () => undefined }, logger });
  const heads = createAuditHeads({ log, store, logger });
  return {
    ...{ store, audit, log, errors, heads },
    /** Another start of the server. */
    restart: () => createAuditHeads({ log, store, logger }),
    noted: () => noted,
    add: (...entries: readonly AuditRecord[]) => add(store, entries, heads),
    tamper(sql: string) {
      const ledger = new DatabaseSync(file);
      ledger.exec(sql);
      ledger.close();
    },
  };
}

async function add(
  store: Store,
  entries: readonly AuditRecord[],
  heads: { note(head: AuditHead): Promise<void> },
): Promise<void> {
  const { auditHead } = await store.run('copies.apply', {
    ...{ jobs: [], removed: [], cursor: null, audit: entries },
  });
  if (auditHead !== null) await heads.note(auditHead);
}

describe('the chain of the audit', () => {
  it('is empty', async () => {
    const { audit } = await setUp();
    expect(await audit.verify(null)).toMatchObject({ ok: true });
  });

  const kept = shared(async () => {
    const bench = await setUp();
    for (let ms = 1; ms <= 6; ms += 1) await bench.add(anEntry(ms));
    bench.tamper('CREATE TABLE kept AS SELECT * FROM audit');
    return bench;
  });

  it.each([
    ['is as it was written', '', { ok: true, entries: 6, head: { seq: 6 } }],
    ['has a changed row', "UPDATE audit SET target = 'x' WHERE seq = 3", { ok: false, problem: { seq: 3 } }],
    ['has a changed time', 'UPDATE audit SET ms = ms + 1 WHERE seq = 6', { ok: false, problem: { seq: 6 } }],
    ['has lost a row', 'DELETE FROM audit WHERE seq = 3', { ok: false, problem: { seq: 3 } }],
    ['has lost its first row', 'DELETE FROM audit WHERE seq = 1', { ok: false, problem: { seq: 1 } }],
    ['has lost its last row', 'DELETE FROM audit WHERE seq = 6', { ok: false, problem: { seq: 6 } }],
    ['has lost all rows', 'DELETE FROM audit', { ok: false, problem: { seq: 6 } }],
    [
      'has two rows in another order',
      'UPDATE audit SET seq = -seq WHERE seq IN (2, 3); UPDATE audit SET seq = iif(seq = -2, 3, 2) WHERE seq < 0',
      { ok: false, problem: { seq: 2 } },
    ],
    [
      'has one row more',
      `INSERT INTO audit SELECT 7, ms + 1, n, action, principal, project, target, address, request_id, details, hash
        FROM audit WHERE seq = 6`,
      { ok: false, problem: { seq: 7 } },
    ],
    ['is as it was written again', '', { ok: true, entries: 6, head: { seq: 6 } }],
  ] as const)('%s', async (_, sql, expected) => {
    const { audit, tamper } = await kept();
    tamper(`DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; ${sql}`);
    expect(await audit.verify(null)).toMatchObject(expected);
  });

  it('does not grow when the same entries come again, and continues after a restart', async () => {
    const file = ledgerFile();
    const first = await setUp(file);
    await first.add(anEntry(1), anEntry(2));
    await first.add(anEntry(2), anEntry(3), anEntry(3, { n: 1 }));
    await first.store.close();
    const second = await setUp(file);
    await second.add(anEntry(3), anEntry(4));
    expect(await second.audit.verify(first.noted())).toMatchObject({ ok: true, entries: 5 });
  });

  it('that was written again does not fit the link in Redis, also after more entries', async () => {
    const bench = await setUp();
    await bench.add(anEntry(1), anEntry(2), anEntry(3));
    const before = bench.noted();
    bench.tamper('DELETE FROM audit');
    const heads = bench.restart();
    await add(bench.store, [anEntry(1), anEntry(3)], heads); // fewer rows: perhaps an older copy
    expect(bench.errors).toEqual([]);
    await add(bench.store, [anEntry(4), anEntry(5)], heads);
    expect(bench.errors).toHaveLength(1);
    expect(bench.noted()).toEqual(before);
    expect(await bench.audit.verify(null)).toMatchObject({ ok: false, problem: { seq: 3 } });
  });

  it('loses only days that are old enough, and says so', async () => {
    const { store, add, audit, heads, tamper, noted } = await setUp();
    const old = Array.from({ length: 2500 }, (_, n) => anEntry(NOW - 5 * DAY_MS, { n }));
    await add(...old, anEntry(NOW), anEntry(NOW + 1));
    const trim = () => trimAudit({ store, heads, signal: new AbortController().signal }, 3 * DAY_MS);
    await trim();
    await trim(); // nothing is left to remove
    const { data } = await audit.list(callerOf('key:a', 'web'), {
      limit: 100,
      cursor: null,
    });
    expect(data.map(({ target }) => target)).toEqual([`job-${NOW + 1}`, `job-${NOW}`]);
    expect(await audit.verify(noted())).toMatchObject({ ok: true, entries: 4, head: { seq: 2504 } });
    tamper('DELETE FROM audit WHERE seq = (SELECT min(seq) FROM audit)');
    expect(await audit.verify(null)).toMatchObject({ ok: false, problem: { seq: 2501 } });
  });
});

describe('an entry of the log', () => {
  const fields = (more: readonly string[]) => ['u', 'job-1', 'k', 'job.created', ...more];
  it('is read with what it has', () => {
    expect(decodeAudit(['12-3', fields(['o', 'admin', 'n', '{"a":1}', 'i', '::1'])])).toEqual({
      ...{ ms: 12, n: 3, action: 'job.created', principal: 'admin', project: '', target: 'job-1' },
      ...{ address: '::1', requestId: '', details: '{"a":1}' },
    });
  });
  it.each([['{'], ['[1]'], ['null'], [`{"a":"${'x'.repeat(5000)}"}`]])('has no details %#', (details) => {
    expect(decodeAudit(['12-3', fields(['n', details])])).toMatchObject({ details: '' });
  });
  it.each([[['12-3', ['u', 'x']]], [['12-3', ['u', 'x', 'k', 'DROP TABLE']]], [['x', fields([])]]] as const)(
    'is none %#',
    (entry) => {
      expect(decodeAudit(entry)).toBeNull();
    },
  );
});
