/** This node's copies of batches, with what their jobs have come to. */
import type { DatabaseSync } from 'node:sqlite';
import { JOB_STATUSES, type JobStatus } from '../protocol/job.ts';
import type { BatchEntry } from '../records/batch-ports.ts';
import { decodeCursor, encodeCursor } from './list-jobs.ts';
import { type Gated, shown } from './shown-jobs.ts';
import { all, change, first, readable } from './sql.ts';

/** A batch as it was made. */
export interface BatchCopy {
  readonly id: string;
  readonly project: string;
  readonly principal: string;
  /** RFC 3339 in UTC. */
  readonly createdAt: string;
  /** One for each prompt, in order. */
  readonly entries: readonly BatchEntry[];
}

export interface BatchSummary extends Omit<BatchCopy, 'entries'> {
  /** Prompts that got no job. */
  readonly refused: number;
  readonly counts: Readonly<Record<JobStatus, number>>;
  /** null: of no job is the cost known. */
  readonly costUsd: number | null;
  /** When its first job was started. */
  readonly startedAt: string | null;
  /** When the last of its jobs so far ended. */
  readonly finishedAt: string | null;
}

/** Stores a batch once; it never changes. */
export function insertBatch(db: DatabaseSync, batch: BatchCopy): void {
  change(
    db,
    `INSERT INTO batches (id, project, principal, created_at, refused, items) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT DO NOTHING`,
    batch.id,
    batch.project,
    batch.principal,
    batch.createdAt,
    batch.entries.filter((entry) => 'error' in entry).length,
    JSON.stringify(batch.entries),
  );
}

/** Whether no job of the batch in `batches` is left. */
export const EMPTY_BATCH = 'NOT EXISTS (SELECT 1 FROM batch_jobs WHERE batch_id = batches.id)';

const COLUMNS = 'id, project, principal, created_at AS createdAt, refused';
type Columns = Pick<BatchSummary, 'id' | 'project' | 'principal' | 'createdAt' | 'refused'>;

interface Group {
  readonly status: JobStatus;
  readonly jobs: number;
  readonly costUsd: number | null;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
}

/** Whose jobs count. */
interface Seen extends Gated {
  /** null: those of every project. An admin may mix them in one batch. */
  readonly project: string | null;
}

/** Adds up the jobs of a batch. */
function summaryOf(db: DatabaseSync, batch: Columns, args: Seen): BatchSummary {
  const groups = all<Group>(
    db,
    `SELECT ${shown(args).status} AS status, count(*) AS jobs, sum(cost_usd) AS costUsd, min(started_at) AS startedAt,
       max(finished_at) AS finishedAt FROM batch_jobs JOIN jobs ON jobs.id = job_id
     WHERE batch_id = ?1 AND (?2 IS NULL OR jobs.project = ?2) GROUP BY 1`,
    batch.id,
    args.project,
  );
  const known = <T>(values: readonly (T | null)[]): T[] => values.flatMap((value) => value ?? []);
  const costs = known(groups.map(({ costUsd }) => costUsd));
  return {
    ...batch,
    // as: one entry for each status
    counts: Object.fromEntries(
      JOB_STATUSES.map((status) => [status, groups.find((group) => group.status === status)?.jobs ?? 0]),
    ) as Record<JobStatus, number>,
    costUsd: costs.length === 0 ? null : costs.reduce((sum, cost) => sum + cost, 0),
    startedAt: known(groups.map(({ startedAt }) => startedAt)).sort()[0] ?? null,
    finishedAt:
      known(groups.map(({ finishedAt }) => finishedAt))
        .sort()
        .at(-1) ?? null,
  };
}

export const batchReads = {
  'batches.get'(db: DatabaseSync, args: { readonly id: string } & Seen): BatchSummary | null {
    const batch = first<Columns>(db, `SELECT ${COLUMNS} FROM batches WHERE id = ?`, args.id);
    return batch === null ? null : summaryOf(db, batch, args);
  },

  'batches.entries'(db: DatabaseSync, args: { readonly id: string }): BatchEntry[] {
    const row = first<{ items: string }>(db, 'SELECT items FROM batches WHERE id = ?', args.id);
    if (row === null) return [];
    return readable(`batch ${args.id}`, (): BatchEntry[] => JSON.parse(row.items)).flat();
  },
};

export const batchReports = {
  /** One page of batches, newest first. */
  'batches.list'(
    db: DatabaseSync,
    args: { readonly limit: number; readonly cursor: string | null } & Seen,
  ): { readonly rows: readonly BatchSummary[]; readonly nextCursor: string | null } {
    const before = args.cursor === null ? null : decodeCursor(args.cursor);
    const found = all<Columns>(
      db,
      `SELECT ${COLUMNS} FROM batches WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR id < ?2)
       ORDER BY id DESC LIMIT ?3`,
      args.project,
      before,
      args.limit + 1,
    );
    const page = found.slice(0, args.limit);
    const last = page.at(-1);
    const nextCursor = found.length > page.length && last !== undefined ? encodeCursor(last.id) : null;
    return { rows: page.map((batch) => summaryOf(db, batch, args)), nextCursor };
  },
};
