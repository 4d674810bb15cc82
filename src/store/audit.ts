/**
 * The audit in the ledger: copied from the log, in its order, with the position of the log, so an
 * entry is here exactly once. Each row's hash covers the row before it.
 */
import { createHash } from 'node:crypto';
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { foreignCursor } from '../errors.ts';
import type { AuditEntry, AuditHead, AuditQuery } from '../protocol/audit.ts';
import { instant } from '../protocol/schema.ts';
import type { AuditRecord } from '../records/audit-log.ts';
import { all, change, first } from './sql.ts';

interface Row extends AuditRecord {
  /** 1, 2, 3 … without gaps. */
  readonly seq: number;
  readonly hash: string;
}

const COLUMNS =
  'seq, ms, n, action, principal, project, target, address, request_id AS requestId, details, hash';

/** The hash of a row. `before`: of the row before it; '' for the first one. */
function hashOf(before: string, row: Omit<Row, 'hash'>): string {
  const { seq, ms, n, action, principal, project, target, address, requestId, details } = row;
  const fields = [before, seq, ms, n, action, principal, project, target, address, requestId, details];
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex');
}

const headOf = (db: DatabaseSync): AuditHead | null =>
  first(db, 'SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1');

/** Adds entries at the end of the chain; one that is there is skipped. Returns the new head. */
export function insertAudit(db: DatabaseSync, entries: readonly AuditRecord[]): AuditHead | null {
  let head = entries.length === 0 ? null : headOf(db);
  for (const entry of entries) {
    const known = 'SELECT 1 FROM audit WHERE ms = ? AND n = ?';
    if (first(db, known, entry.ms, entry.n) === null) head = append(db, head, entry);
  }
  return head;
}

function append(db: DatabaseSync, head: AuditHead | null, entry: AuditRecord): AuditHead {
  const row = { ...entry, seq: (head?.seq ?? 0) + 1 };
  const hash = hashOf(head?.hash ?? '', row);
  const { seq, ms, n, action, principal, project, target, address, requestId, details } = row;
  change(
    db,
    `INSERT INTO audit (seq, ms, n, action, principal, project, target, address, request_id, details, hash)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[seq, ms, n, action, principal, project, target, address, requestId, details, hash],
  );
  return { seq, hash };
}

export interface CheckedLinks {
  /** The last row that was read; null: there is none. */
  readonly last: AuditHead | null;
  readonly checked: number;
  readonly problem: { readonly seq: number; readonly why: string } | null;
  readonly more: boolean;
}

export const auditReports = {
  /** One page, newest first. @throws AppError request.invalid for a foreign cursor */
  'audit.list'(
    db: DatabaseSync,
    args: {
      /** null: of every project. */
      readonly project: string | null;
      readonly query: AuditQuery;
    },
  ): { readonly data: readonly AuditEntry[]; readonly nextCursor: string | null } {
    const { query, project } = args;
    const conditions = ['n >= 0'];
    const parameters: SQLInputValue[] = [];
    const where = (sql: string, ...values: SQLInputValue[]): void => {
      conditions.push(sql);
      parameters.push(...values);
    };
    if (project !== null) where('project = ?', project);
    for (const name of ['action', 'principal', 'project', 'target'] as const) {
      const wanted = query[name];
      // An empty text in a row means that it is not known.
      if (wanted !== undefined) where(`${name} = ? AND ${name} <> ''`, wanted);
    }
    if (query.from !== undefined) where('ms >= ?', instant('from', query.from));
    if (query.to !== undefined) where('ms < ?', instant('to', query.to));
    if (query.cursor !== null) where('(ms, n) < (?, ?)', ...placeOf(query.cursor));
    const rows = all<Row>(
      db,
      `SELECT ${COLUMNS} FROM audit WHERE ${conditions.join(' AND ')} ORDER BY ms DESC, n DESC LIMIT ?`,
      ...parameters,
      query.limit + 1,
    );
    const page = rows.slice(0, query.limit);
    const last = page.at(-1);
    const more = rows.length > page.length && last !== undefined;
    return { data: page.map(toEntry), nextCursor: more ? cursorOf(last) : null };
  },

  /** Checks the next rows of the chain. @param after the row before them; null: from the first */
  'audit.check'(
    db: DatabaseSync,
    args: { readonly after: AuditHead | null; readonly limit: number },
  ): CheckedLinks {
    let last = args.after ?? beginOf(db);
    const rows = all<Row>(
      db,
      `SELECT ${COLUMNS} FROM audit WHERE seq > ? ORDER BY seq LIMIT ?`,
      args.after?.seq ?? Number.MIN_SAFE_INTEGER,
      args.limit,
    );
    let checked = 0;
    for (const row of rows) {
      const seq = last.seq + 1;
      const wrong = (why: string): CheckedLinks => ({ last, checked, problem: { seq, why }, more: false });
      if (row.seq !== seq) return wrong('it is missing, and with it perhaps others');
      if (row.hash !== hashOf(last.hash, row)) return wrong('it is not as it was written');
      last = row;
      checked += 1;
    }
    const head = last.seq === 0 ? null : { seq: last.seq, hash: last.hash };
    return { last: head, checked, problem: null, more: rows.length === args.limit };
  },

  /** The hash of a row; null: there is no such row. */
  'audit.hash'(db: DatabaseSync, args: { readonly seq: number }): string | null {
    return first<{ hash: string }>(db, 'SELECT hash FROM audit WHERE seq = ?', args.seq)?.hash ?? null;
  },
};

/** The link before the first row: of the rows that were removed last because of their age. */
function beginOf(db: DatabaseSync): AuditHead {
  const removal = first<{ details: string }>(
    db,
    'SELECT details FROM audit WHERE n < 0 ORDER BY seq DESC LIMIT 1',
  );
  try {
    const { seq, hash } = JSON.parse(removal?.details ?? '{}');
    if (Number.isSafeInteger(seq) && typeof hash === 'string') return { seq, hash };
  } catch {
    // The row was changed: the check of the first row finds it.
  }
  return { seq: 0, hash: '' };
}

export const auditWrites = {
  /**
   * Removes the oldest rows, at most `limit`, if they are older than `before` (ms). A row at the
   * end of the chain says which. Returns the new head; null: nothing was old.
   */
  'audit.trim'(
    db: DatabaseSync,
    args: { readonly before: number; readonly now: number; readonly limit: number },
  ): AuditHead | null {
    const oldest = all<Row>(db, `SELECT ${COLUMNS} FROM audit ORDER BY seq LIMIT ?`, args.limit);
    const kept = oldest.findIndex(({ ms }) => ms >= args.before);
    const last = (kept === -1 ? oldest : oldest.slice(0, kept)).at(-1);
    const head = headOf(db);
    if (last === undefined || head === null) return null;
    const noted = append(db, head, {
      ...{ ms: args.now, n: -(head.seq + 1), action: 'audit.trimmed', principal: 'server' },
      ...{ project: '', target: '', address: '', requestId: '' },
      details: JSON.stringify({ seq: last.seq, hash: last.hash }),
    });
    change(db, 'DELETE FROM audit WHERE seq <= ?', last.seq);
    return noted;
  },
};

const orNull = (text: string): string | null => (text === '' ? null : text);

const toEntry = ({ ms, n, action, ...row }: Row): AuditEntry => ({
  id: `${ms}-${n}`,
  at: new Date(ms).toISOString(),
  action,
  principal: orNull(row.principal),
  project: orNull(row.project),
  target: orNull(row.target),
  address: orNull(row.address),
  requestId: orNull(row.requestId),
  details: row.details === '' ? null : JSON.parse(row.details),
});

const cursorOf = ({ ms, n }: Row): string => Buffer.from(`${ms}-${n}`).toString('base64url');

function placeOf(cursor: string): [ms: number, n: number] {
  const [, ms, n] = /^(\d{1,15})-(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  if (ms !== undefined && n !== undefined) return [Number(ms), Number(n)];
  throw foreignCursor();
}
