/** The ledger of terminals: one row per program, from the intent to its end. */
import type { DatabaseSync } from 'node:sqlite';
import type { TerminalLedger } from '../terminals/ports.ts';
import { all, change } from './sql.ts';
import type { Store } from './store.ts';

export const terminalWrites = {
  /** Written before the program is started. */
  'terminals.intent'(
    db: DatabaseSync,
    args: {
      readonly executionId: string;
      readonly sessionId: string;
      readonly bootId: string;
      readonly provider: string;
      readonly at: string;
    },
  ): void {
    const sql =
      'INSERT INTO terminals (execution_id, session_id, boot_id, provider, created_at) VALUES (?, ?, ?, ?, ?)';
    change(db, sql, args.executionId, args.sessionId, args.bootId, args.provider, args.at);
  },

  'terminals.started'(
    db: DatabaseSync,
    args: { readonly executionId: string; readonly pid: number; readonly at: string },
  ): void {
    const sql = 'UPDATE terminals SET pid = ?, started_at = ? WHERE execution_id = ?';
    change(db, sql, args.pid, args.at, args.executionId);
  },

  /** The first end counts. */
  'terminals.ended'(
    db: DatabaseSync,
    args: { readonly executionId: string; readonly errorCode: string | null; readonly at: string },
  ): void {
    const sql =
      'UPDATE terminals SET ended_at = ?, error_code = ? WHERE execution_id = ? AND ended_at IS NULL';
    change(db, sql, args.at, args.errorCode, args.executionId);
  },
};

export const terminalReads = {
  /** Those of other boots that have no end, oldest first. */
  'terminals.unsettled'(
    db: DatabaseSync,
    args: { readonly bootId: string },
  ): { executionId: string; sessionId: string }[] {
    return all(
      db,
      `SELECT execution_id AS executionId, session_id AS sessionId FROM terminals
       WHERE ended_at IS NULL AND boot_id <> ? ORDER BY created_at, execution_id`,
      args.bootId,
    );
  },
};

/** {@link TerminalLedger}, kept in the store. */
export function createTerminalLedger(store: Pick<Store, 'run'>, bootId: string): TerminalLedger {
  const now = (): string => new Date().toISOString();
  return {
    async intend(terminal) {
      await store.run('terminals.intent', { ...terminal, bootId, at: now() });
    },
    async started(executionId, pid) {
      await store.run('terminals.started', { executionId, pid, at: now() });
    },
    async ended(executionId, { errorCode }) {
      await store.run('terminals.ended', { executionId, errorCode, at: now() });
    },
    open: () => store.run('terminals.unsettled', { bootId }),
  };
}
