/**
 * Writes this node's copies of jobs and their finished events, and the position of the log they
 * came from.
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import type { Approval } from '../protocol/approval.ts';
import type { AuditHead } from '../protocol/audit.ts';
import type { JobPatch } from '../protocol/job.ts';
import type { AuditRecord } from '../records/audit-log.ts';
import { applyApproval } from './approvals.ts';
import { insertAudit } from './audit.ts';
import { type BatchCopy, EMPTY_BATCH, insertBatch } from './batches.ts';
import { type EventCopy, insertEvent } from './events.ts';
import { type JobCopy, jobReads } from './jobs.ts';
import { applySession, deleteSession, type SessionCopy } from './session-copies.ts';
import { recordSessions } from './sessions.ts';
import { change, first, readable } from './sql.ts';
import { recordUsage } from './usage.ts';

/** A named position in a log. */
export interface Cursor {
  readonly name: string;
  readonly value: string;
}

/** A change of a job that Redis no longer has. */
export interface CopyPatch {
  readonly id: string;
  readonly patch: JobPatch;
}

export interface CopyChanges {
  readonly jobs: readonly JobCopy[];
  /** Ids of deleted jobs. They win over `jobs`, because an id is never used again. */
  readonly removed: readonly string[];
  /** null: the changes did not come from the log. */
  readonly cursor: Cursor | null;
  /** Of finished jobs. Stored before the jobs, whose usage and sessions are read from them. */
  readonly events?: readonly EventCopy[];
  readonly batches?: readonly BatchCopy[];
  readonly patches?: readonly CopyPatch[];
  readonly audit?: readonly AuditRecord[];
  readonly sessions?: readonly SessionCopy[];
  /** Ids of deleted sessions. */
  readonly removedSessions?: readonly string[];
  readonly approvals?: readonly Approval[];
}

export interface CopiesApplied {
  /** Copies that are newer than the stored ones. */
  readonly applied: number;
  readonly removed: number;
  /** Ids of the jobs whose end is new. */
  readonly ended: readonly string[];
  /** The last link of the audit after these entries; null: there were none. */
  readonly auditHead: AuditHead | null;
}

export const copyWrites = {
  /**
   * Stores the changes and moves the cursor, all or nothing. Skips older revisions, and those of a
   * job that had ended and goes on.
   */
  'copies.apply'(db: DatabaseSync, args: CopyChanges): CopiesApplied {
    let applied = 0;
    const ended: string[] = [];
    let removed = 0;
    for (const copy of args.events ?? []) insertEvent(db, copy);
    for (const batch of args.batches ?? []) insertBatch(db, batch);
    for (const job of args.jobs) {
      const result = applyJob(db, job);
      if (result !== 'skipped') applied += 1;
      if (result === 'ended') ended.push(job.id);
    }
    for (const session of args.sessions ?? []) applySession(db, session);
    for (const id of args.removedSessions ?? []) deleteSession(db, id);
    for (const approval of args.approvals ?? []) applyApproval(db, approval);
    for (const one of args.patches ?? []) patchJob(db, one);
    for (const id of args.removed) if (deleteJob(db, id)) removed += 1;
    const auditHead = insertAudit(db, args.audit ?? []);
    if (args.cursor !== null) saveCursor(db, args.cursor);
    return { applied, removed, ended, auditHead };
  },

  /** The revisions of a job or session start over: it is made again, or Redis is an older one. */
  'copies.rewind'(
    db: DatabaseSync,
    { of, id }: { readonly of: 'jobs' | 'sessions'; readonly id: string },
  ): { known: boolean } {
    return { known: change(db, `UPDATE ${of} SET rev = 0 WHERE id = ?`, id) === 1 };
  },

  'jobs.delete'(db: DatabaseSync, args: { readonly id: string }): { deleted: boolean } {
    return { deleted: deleteJob(db, args.id) };
  },
};

export const cursorReads = {
  /** null before the first time. */
  'cursors.get'(db: DatabaseSync, args: { readonly name: string }): string | null {
    return first<Cursor>(db, 'SELECT name, value FROM cursors WHERE name = ?', args.name)?.value ?? null;
  },
};

function saveCursor(db: DatabaseSync, cursor: Cursor): void {
  const sql =
    'INSERT INTO cursors (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value';
  change(db, sql, cursor.name, cursor.value);
}

const COLUMNS = [
  ...([
    'id',
    'rev',
    'kind',
    'project',
    'principal',
    'granted',
    'forged',
    'session_id',
    'status',
    'wait_reason',
  ] as const),
  ...([
    'scheduled_for',
    'provider',
    'model',
    'cwd',
    'attempts',
    'failures',
    'retry_of',
    'pin',
    'node',
  ] as const),
  ...([
    'created_at',
    'started_at',
    'finished_at',
    'updated_at',
    'cancel_requested',
    'tags',
    'metadata',
  ] as const),
  ...(['request', 'outcome', 'prompt'] as const),
];

const UPSERT = `INSERT INTO jobs (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map(() => '?').join(', ')})
  ON CONFLICT (id) DO UPDATE SET ${COLUMNS.map((column) => `${column} = excluded.${column}`).join(', ')}
  WHERE excluded.rev > jobs.rev AND (jobs.finished_at IS NULL OR excluded.finished_at IS NOT NULL)`;

/**
 * `skipped`: the stored revision is as new, or has ended: a Redis that went back to an older state
 * does not reopen a job. `ended`: its end is new.
 */
function applyJob(db: DatabaseSync, job: JobCopy): 'skipped' | 'changed' | 'ended' {
  const { prompt, ...request } = job.request;
  const row: Record<(typeof COLUMNS)[number], SQLInputValue> = {
    id: job.id,
    rev: job.rev,
    kind: job.kind,
    project: job.project,
    principal: job.principal,
    granted: job.grant === null ? null : JSON.stringify(job.grant),
    forged: job.forged ? 1 : 0,
    session_id: job.sessionId,
    status: job.status,
    wait_reason: job.waitReason,
    scheduled_for: job.scheduledFor,
    provider: request.provider,
    model: request.model,
    cwd: request.cwd,
    attempts: job.attempts,
    failures: job.failures,
    retry_of: job.retryOf,
    pin: job.pin,
    node: job.node,
    created_at: job.createdAt,
    started_at: job.startedAt,
    finished_at: job.finishedAt,
    updated_at: job.updatedAt,
    cancel_requested: job.cancelRequested ? 1 : 0,
    tags: JSON.stringify(request.tags),
    metadata: JSON.stringify(request.metadata),
    request: JSON.stringify(request),
    outcome: job.outcome === null ? null : JSON.stringify(job.outcome),
    prompt,
  };
  const ended = job.finishedAt !== null && !hasEnded(db, job.id);
  if (change(db, UPSERT, ...COLUMNS.map((column) => row[column])) === 0) return 'skipped';
  const otherTags = 'DELETE FROM job_tags WHERE job_id = ? AND tag NOT IN (SELECT value FROM json_each(?))';
  change(db, otherTags, job.id, JSON.stringify(request.tags));
  for (const tag of request.tags) {
    change(db, 'INSERT INTO job_tags (tag, job_id) VALUES (?, ?) ON CONFLICT DO NOTHING', tag, job.id);
  }
  const archiving = job.archived
    ? 'INSERT INTO archived_jobs (job_id) VALUES (?) ON CONFLICT DO NOTHING'
    : 'DELETE FROM archived_jobs WHERE job_id = ?';
  change(db, archiving, job.id);
  if (job.batchId !== null) {
    const sql = 'INSERT INTO batch_jobs (batch_id, job_id) VALUES (?, ?) ON CONFLICT DO NOTHING';
    change(db, sql, job.batchId, job.id);
  }
  const transition = `INSERT INTO transitions (job_id, rev, status, at, node) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (job_id, rev) DO NOTHING`;
  change(db, transition, job.id, job.rev, job.status, job.updatedAt, job.node);
  const denied = job.outcome?.permissionDenials.length ?? 0;
  if (denied > 0) {
    const sql = `INSERT INTO job_denials (job_id, denied) VALUES (?, ?)
      ON CONFLICT (job_id) DO UPDATE SET denied = excluded.denied`;
    change(db, sql, job.id, denied);
  }
  if (!ended) return 'changed';
  recordUsage(db, job);
  recordSessions(db, job);
  return 'ended';
}

const hasEnded = (db: DatabaseSync, id: string): boolean =>
  first(db, 'SELECT 1 FROM jobs WHERE id = ? AND finished_at IS NOT NULL', id) !== null;

/** Changes a copy. One that is not here or cannot be read stays as it is. */
function patchJob(db: DatabaseSync, { id, patch }: CopyPatch): void {
  const [copy = null] = readable(`job ${id}`, () => jobReads['jobs.get'](db, { id }));
  if (copy === null) return;
  const { archived = copy.archived, tags = copy.request.tags, metadata = copy.request.metadata } = patch;
  const request = { ...copy.request, tags, metadata };
  applyJob(db, { ...copy, rev: copy.rev + 1, archived, request });
}

/**
 * Removes a job with its prompt, events, sessions, transitions and tags, and its executions'
 * content. An execution keeps its id, tokens and cost: a deletion refunds no budget, and the id
 * never spawns again. An outcome in the outbox stays whole until it is delivered.
 *
 * @returns whether the job was stored
 */
function deleteJob(db: DatabaseSync, id: string): boolean {
  const batch = first<{ id: string }>(db, 'SELECT batch_id AS id FROM batch_jobs WHERE job_id = ?', id);
  const removed = change(db, 'DELETE FROM jobs WHERE id = ?', id);
  // A batch is kept as long as one of its jobs is.
  if (batch !== null) change(db, `DELETE FROM batches WHERE id = ? AND ${EMPTY_BATCH}`, batch.id);
  change(db, 'DELETE FROM transitions WHERE job_id = ?', id);
  change(db, 'DELETE FROM events WHERE job_id = ?', id);
  change(db, 'DELETE FROM job_sessions WHERE job_id = ?', id);
  change(db, 'DELETE FROM approvals WHERE job_id = ?', id);
  change(
    db,
    `UPDATE executions SET outcome = NULL WHERE job_id = ? AND state IN ('delivered', 'superseded')`,
    id,
  );
  return removed === 1;
}
