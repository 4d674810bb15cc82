/** The ledger's rows: one per execution, from the intent to the delivered outcome. */
import type { DatabaseSync } from 'node:sqlite';
import { AppError, wireError } from '../errors.ts';
import { jobOutcome, type Outcome, type TokenCounts } from '../protocol/outcome.ts';
import type { Finish } from '../records/ports.ts';
import { saveSessionTotal } from './sessions.ts';
import { all, change, first, readable } from './sql.ts';

/** Committed before the CLI is spawned. Times are RFC 3339 in UTC, in all rows of this folder. */
export interface ExecutionIntent {
  readonly executionId: string;
  readonly jobId: string;
  readonly attempt: number;
  readonly bootId: string;
  readonly provider: string;
  readonly createdAt: string;
  /** Left out: no server on another host has submitted it. */
  readonly submission?: SubmittedAs;
}

/** As what an execution was submitted by a server on another host. */
export interface SubmittedAs {
  /** The server's job. */
  readonly jobId: string;
  /** Of the whole request. The same id with another one is refused. */
  readonly fingerprint: string;
}

/** An execution without an outcome: not spawned (`intent`), or not known to have ended. */
export type UnsettledExecution = ExecutionIntent &
  (
    | { readonly state: 'intent'; readonly pid: null; readonly startedAt: null }
    | { readonly state: 'running'; readonly pid: number; readonly startedAt: string }
  );

interface Ending {
  /** null when it ended before a spawn. */
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly endedAt: string;
}

/** What FINISH needs beside the outcome. */
export type OutcomeDelivery = Pick<
  Finish,
  'earlierUsage' | 'from' | 'tail' | 'backoffMs' | 'quotaMs' | 'parked' | 'rawAnswer' | 'reported'
>;

/** An outcome in the outbox: stored, but not yet in the job's record. */
export type EndedExecution = ExecutionIntent &
  Ending & {
    readonly state: 'ended';
    readonly outcome: Outcome;
    readonly delivery: OutcomeDelivery;
  };

/** The job's record took the outcome (`delivered`) or its fence refused it (`superseded`). */
export type SettledExecution = ExecutionIntent &
  Ending & {
    readonly state: 'delivered' | 'superseded';
    /** null once the job was deleted: the tokens and the cost stay. */
    readonly outcome: Outcome | null;
    /** Left out unless it was kept: see `executions.delivered`. */
    readonly delivery?: Pick<OutcomeDelivery, 'reported'>;
  };

export type ExecutionRow = UnsettledExecution | EndedExecution | SettledExecution;

const executionColumns = `execution_id AS executionId, job_id AS jobId, attempt, boot_id AS bootId,
  provider, state, pid, created_at AS createdAt, started_at AS startedAt, ended_at AS endedAt, submission,
  outcome, delivery`;

export const executionWrites = {
  /**
   * Written before the spawn. `inserted: false`: the attempt is known or the job has ended, so the
   * caller must not spawn. An attempt has another id here when Redis has lost what came after an
   * older state of the job.
   */
  'executions.intent'(
    db: DatabaseSync,
    args: Omit<ExecutionIntent, 'createdAt' | 'submission'> & {
      readonly at: string;
      readonly submission?: SubmittedAs | null;
    },
  ): { inserted: boolean } {
    const { submission = null } = args;
    const inserted = change(
      db,
      `INSERT INTO executions (execution_id, job_id, attempt, boot_id, provider, state, created_at, submission)
       SELECT ?1, ?2, ?3, ?4, ?5, 'intent', ?6, ?7
       WHERE NOT EXISTS (SELECT 1 FROM executions WHERE job_id = ?2 AND attempt = ?3)
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?2 AND finished_at IS NOT NULL)
       ON CONFLICT (execution_id) DO NOTHING`,
      args.executionId,
      args.jobId,
      args.attempt,
      args.bootId,
      args.provider,
      args.at,
      submission === null ? null : JSON.stringify(submission),
    );
    return { inserted: inserted === 1 };
  },

  /** Written after the spawn. `stored: false`: it has no open intent. */
  'executions.started'(
    db: DatabaseSync,
    args: { readonly executionId: string; readonly pid: number; readonly at: string },
  ): { stored: boolean } {
    const sql = `UPDATE executions SET state = 'running', pid = ?, started_at = ?
                 WHERE execution_id = ? AND state = 'intent'`;
    return { stored: change(db, sql, args.pid, args.at, args.executionId) === 1 };
  },

  /**
   * Stores the outcome and its delivery. The first outcome wins; `stored: false`: there was one.
   * @throws AppError internal.error for an execution without an intent
   */
  'executions.ended'(
    db: DatabaseSync,
    args: {
      readonly executionId: string;
      readonly outcome: Outcome;
      readonly delivery: OutcomeDelivery;
      /** Total use of the session, from a CLI that reports it. */
      readonly sessionTokens?: TokenCounts | null;
      readonly at: string;
    },
  ): { stored: boolean } {
    const usage = args.outcome.usage;
    const stored = change(
      db,
      `UPDATE executions SET state = 'ended', ended_at = ?, outcome = ?, delivery = ?, input_tokens = ?,
         output_tokens = ?, cache_read_tokens = ?, cache_write_tokens = ?, cost_usd = ?, cost_basis = ?
       WHERE execution_id = ? AND state IN ('intent', 'running')`,
      args.at,
      JSON.stringify(args.outcome),
      JSON.stringify(args.delivery),
      usage?.inputTokens ?? null,
      usage?.outputTokens ?? null,
      usage?.cacheReadTokens ?? null,
      usage?.cacheWriteTokens ?? null,
      usage?.costUsd ?? null,
      usage?.costBasis ?? null,
      args.executionId,
    );
    if (
      stored === 0 &&
      first(db, 'SELECT 1 FROM executions WHERE execution_id = ?', args.executionId) === null
    ) {
      throw new AppError('internal.error', `the ledger has no intent for execution ${args.executionId}`);
    }
    const { sessionTokens = null } = args;
    const { provider, nativeSessionId } = args.outcome;
    if (stored === 1 && sessionTokens !== null && provider !== null && nativeSessionId !== null) {
      saveSessionTotal(db, { provider, nativeSessionId }, sessionTokens, args.at);
    }
    return { stored: stored === 1 };
  },

  /** Takes the outcome out of the outbox. `stored: false`: it was not there. */
  'executions.delivered'(
    db: DatabaseSync,
    args: {
      readonly executionId: string;
      readonly superseded: boolean;
      /** Keeps what the CLI reported beside the outcome. Default: no. */
      readonly keepReported?: boolean;
    },
  ): { stored: boolean } {
    const sql = `UPDATE executions SET state = ?1, delivery = CASE WHEN ?2 = 1
                   THEN json_object('reported', json_extract(delivery, '$.reported')) END
                 WHERE execution_id = ?3 AND state = 'ended'`;
    const state = args.superseded ? 'superseded' : 'delivered';
    const keeps = args.keepReported === true ? 1 : 0;
    return { stored: change(db, sql, state, keeps, args.executionId) === 1 };
  },
};

export const executionReads = {
  /** Which ledger this is: another file has another id. */
  'ledger.identity'(db: DatabaseSync, _args: Readonly<Record<string, never>>): string {
    return first<{ id: string }>(db, 'SELECT id FROM identity')?.id ?? '';
  },

  /** The execution of one attempt of a job. */
  'executions.find'(
    db: DatabaseSync,
    args: { readonly jobId: string; readonly attempt: number },
  ): ExecutionRow | null {
    const sql = `SELECT ${executionColumns} FROM executions WHERE job_id = ? AND attempt = ?`;
    const columns = first<ExecutionColumns>(db, sql, args.jobId, args.attempt);
    return columns === null ? null : toExecution(columns);
  },

  /** The executions of a job on this node, the first one first. */
  'executions.ofJob'(db: DatabaseSync, args: { readonly jobId: string }): ExecutionRow[] {
    const sql = `SELECT ${executionColumns} FROM executions WHERE job_id = ? ORDER BY attempt`;
    return all<ExecutionColumns>(db, sql, args.jobId).map(toExecution);
  },

  /** The newest execution of a job. */
  'executions.lastOf'(db: DatabaseSync, args: { readonly jobId: string }): ExecutionRow | null {
    const sql = `SELECT ${executionColumns} FROM executions WHERE job_id = ?
                 ORDER BY created_at DESC, execution_id DESC LIMIT 1`;
    const columns = first<ExecutionColumns>(db, sql, args.jobId);
    return columns === null ? null : toExecution(columns);
  },

  /** Those that ended last, the newest first, each with its count of events. */
  'executions.recent'(
    db: DatabaseSync,
    args: { readonly limit: number },
  ): { executionId: string; submission: SubmittedAs | null; events: number }[] {
    const sql = `SELECT execution_id AS executionId, submission,
                   coalesce((SELECT max(seq) FROM events WHERE job_id = executions.job_id), 0) AS events
                 FROM executions WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT ?`;
    type Row = { executionId: string; submission: string | null; events: number };
    return all<Row>(db, sql, args.limit).map((row) => ({ ...row, submission: submittedAs(row) }));
  },

  /** Executions without an outcome, of this and all earlier boots, oldest first. */
  'executions.unsettled'(db: DatabaseSync, _args: Readonly<Record<string, never>>): UnsettledExecution[] {
    const sql = `SELECT ${executionColumns} FROM executions WHERE state IN ('intent', 'running')
                 ORDER BY created_at, execution_id`;
    return all<ExecutionColumns>(db, sql)
      .map(toExecution)
      .filter((row) => row.state === 'intent' || row.state === 'running');
  },

  /** Outcomes that the jobs' records do not have yet, oldest first. */
  'executions.outbox'(db: DatabaseSync, args: { readonly limit: number }): EndedExecution[] {
    const sql = `SELECT ${executionColumns} FROM executions WHERE state = 'ended'
                 ORDER BY ended_at, execution_id LIMIT ?`;
    return all<ExecutionColumns>(db, sql, args.limit)
      .map(toExecution)
      .filter((row) => row.state === 'ended');
  },
};

interface ExecutionColumns extends Omit<ExecutionIntent, 'submission'> {
  readonly submission: string | null;
  readonly state: ExecutionRow['state'];
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly outcome: string | null;
  readonly delivery: string | null;
}

const DAMAGED_OUTCOME = jobOutcome(
  'failed',
  wireError('record.damaged', 'its outcome in the ledger cannot be read'),
);
const NO_DELIVERY: OutcomeDelivery = { from: 0, tail: [], backoffMs: null, rawAnswer: null };

function submittedAs(row: { readonly executionId: string; readonly submission: string | null }) {
  const { executionId, submission } = row;
  if (submission === null) return null;
  const [read = null] = readable(`execution ${executionId}`, (): SubmittedAs => JSON.parse(submission));
  return read;
}

/** Converts a row of `executions` to the type of its state. */
function toExecution(columns: ExecutionColumns): ExecutionRow {
  const { outcome, delivery, endedAt, submission, ...rest } = columns;
  const id = `execution ${rest.executionId}`;
  // An outcome that cannot be read is delivered as record.damaged, so that its job ends.
  const read = <T>(text: string, otherwise: T): T => readable(id, (): T => JSON.parse(text))[0] ?? otherwise;
  const submitted = submittedAs({ ...rest, submission });
  const row = {
    ...rest,
    ...(submitted === null ? {} : { submission: submitted }),
    ...(endedAt === null
      ? {}
      : { endedAt, outcome: outcome === null ? null : read(outcome, DAMAGED_OUTCOME) }),
    ...(delivery === null ? {} : { delivery: read(delivery, NO_DELIVERY) }),
  };
  // as: the operations above write exactly the columns that are legal in each state.
  return row as ExecutionRow;
}
