import type { DatabaseSync } from 'node:sqlite';
import { AppError } from '../errors.ts';
import type { Outcome, TokenCounts } from '../protocol/outcome.ts';
import { type ExecutionColumns, executionColumns, toExecution } from './execution-row.ts';
import type {
  EndedExecution,
  ExecutionIntent,
  ExecutionRow,
  OutcomeDelivery,
  UnsettledExecution,
} from './rows.ts';
import { saveSessionTotal } from './sessions.ts';
import { all, change, first } from './statement.ts';

export const executionWrites = {
  /** Written before the spawn. `inserted: false`: this id was here before, the caller must not spawn. */
  'executions.intent'(
    db: DatabaseSync,
    args: Omit<ExecutionIntent, 'createdAt'> & { readonly at: string },
  ): { inserted: boolean } {
    const inserted = change(
      db,
      `INSERT INTO executions (execution_id, job_id, attempt, boot_id, provider, state, created_at)
       VALUES (?, ?, ?, ?, ?, 'intent', ?) ON CONFLICT (execution_id) DO NOTHING`,
      args.executionId,
      args.jobId,
      args.attempt,
      args.bootId,
      args.provider,
      args.at,
    );
    return { inserted: inserted === 1 };
  },

  /** Written after the spawn. `stored: false`: it was not waiting for its spawn (any more). */
  'executions.started'(
    db: DatabaseSync,
    args: { readonly executionId: string; readonly pid: number; readonly at: string },
  ): { stored: boolean } {
    const sql = `UPDATE executions SET state = 'running', pid = ?, started_at = ?
                 WHERE execution_id = ? AND state = 'intent'`;
    return { stored: change(db, sql, args.pid, args.at, args.executionId) === 1 };
  },

  /**
   * The outcome, with what it takes to deliver it. The first outcome wins; `stored: false`:
   * there was one. Throws internal.error for an execution without an intent.
   */
  'executions.ended'(
    db: DatabaseSync,
    args: {
      readonly executionId: string;
      readonly outcome: Outcome;
      readonly delivery: OutcomeDelivery;
      /** What the CLI's session has used in all, where its CLI tells that. */
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

  /** The job record has the outcome, or its fence refused it. `stored: false`: nothing was in the outbox. */
  'executions.delivered'(
    db: DatabaseSync,
    args: { readonly executionId: string; readonly superseded: boolean },
  ): { stored: boolean } {
    const sql = `UPDATE executions SET state = ?, delivery = NULL WHERE execution_id = ? AND state = 'ended'`;
    const state = args.superseded ? 'superseded' : 'delivered';
    return { stored: change(db, sql, state, args.executionId) === 1 };
  },
};

export const executionReads = {
  'executions.find'(db: DatabaseSync, args: { readonly executionId: string }): ExecutionRow | null {
    const sql = `SELECT ${executionColumns} FROM executions WHERE execution_id = ?`;
    const columns = first<ExecutionColumns>(db, sql, args.executionId);
    return columns === null ? null : toExecution(columns);
  },

  /** The newest execution of a job. */
  'executions.lastOf'(db: DatabaseSync, args: { readonly jobId: string }): ExecutionRow | null {
    const sql = `SELECT ${executionColumns} FROM executions WHERE job_id = ?
                 ORDER BY created_at DESC, execution_id DESC LIMIT 1`;
    const columns = first<ExecutionColumns>(db, sql, args.jobId);
    return columns === null ? null : toExecution(columns);
  },

  /** Executions without an outcome, of this boot and of every earlier one, oldest first. */
  'executions.unsettled'(db: DatabaseSync, _args: Readonly<Record<string, never>>): UnsettledExecution[] {
    const sql = `SELECT ${executionColumns} FROM executions WHERE state IN ('intent', 'running')
                 ORDER BY created_at, execution_id`;
    return all<ExecutionColumns>(db, sql)
      .map(toExecution)
      .filter((row) => row.state === 'intent' || row.state === 'running');
  },

  /** Outcomes the job records do not have yet, oldest first. */
  'executions.outbox'(db: DatabaseSync, args: { readonly limit: number }): EndedExecution[] {
    const sql = `SELECT ${executionColumns} FROM executions WHERE state = 'ended'
                 ORDER BY ended_at, execution_id LIMIT ?`;
    return all<ExecutionColumns>(db, sql, args.limit)
      .map(toExecution)
      .filter((row) => row.state === 'ended');
  },
};
