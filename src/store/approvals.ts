/** This node's copies of approvals. */
import type { DatabaseSync } from 'node:sqlite';
import type { Approval } from '../protocol/approval.ts';
import { decodeCursor, encodeCursor } from './list-jobs.ts';
import type { SessionOperations } from './session-rows.ts';
import { all, change, first, readable } from './sql.ts';

/** Stores an approval. One that is over stays as it is. */
export function applyApproval(db: DatabaseSync, approval: Approval): void {
  const { id, jobId, sessionId, project, status } = approval;
  change(
    db,
    `INSERT INTO approvals (id, job_id, session_id, project, status, approval) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET status = excluded.status, approval = excluded.approval
     WHERE approvals.status = 'pending' OR excluded.status <> 'pending'`,
    ...[id, jobId, sessionId, project, status, JSON.stringify(approval)],
  );
}

interface Row {
  readonly id: string;
  readonly approval: string;
}

const toApproval = ({ id, approval }: Row): Approval[] =>
  readable(`approval ${id}`, (): Approval => JSON.parse(approval));

export const approvalReads: Pick<StoreReads, 'approvals.get'> = {
  'approvals.get'(db, { id }) {
    const row = first<Row>(db, 'SELECT id, approval FROM approvals WHERE id = ?', id);
    return (row && toApproval(row)[0]) ?? null;
  },
};

export const approvalReports: Pick<StoreReads, 'approvals.list'> = {
  'approvals.list'(db, { project, query }) {
    const { status, jobId, sessionId, limit, cursor } = query;
    const found = all<Row>(
      db,
      `SELECT id, approval FROM approvals WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR status = ?2)
         AND (?3 IS NULL OR job_id = ?3) AND (?4 IS NULL OR session_id = ?4) AND id > ?5 ORDER BY id LIMIT ?6`,
      ...[project, status, jobId, sessionId, cursor === null ? '' : decodeCursor(cursor), limit + 1],
    );
    const page = found.slice(0, limit);
    const last = page.at(-1);
    const nextCursor = found.length > page.length && last !== undefined ? encodeCursor(last.id) : null;
    return { data: page.flatMap(toApproval), nextCursor };
  },
};

/** The operations as they run in a thread of the store. */
export type StoreReads = {
  readonly [K in keyof SessionOperations]: (
    db: DatabaseSync,
    args: Parameters<SessionOperations[K]>[0],
  ) => ReturnType<SessionOperations[K]>;
};
