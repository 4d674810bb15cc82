/** What the executor needs of the ledger: intent before the spawn, outcome before it is announced. */
import type { TokenCounts } from '../protocol/outcome.ts';
import type { Claim, Finish } from '../records/ports.ts';

export interface LedgerEntry {
  readonly executionId: string;
  readonly jobId: string;
  /** The stored outcome with all that its delivery needs; null while there is none. */
  readonly finish: Finish | null;
}

export interface Ledger {
  /** Commits that this execution is about to be spawned. False when the id is there already: never spawn then. */
  intend(claim: Claim): Promise<boolean>;
  started(executionId: string, pid: number): Promise<void>;
  /**
   * Commits the outcome. The first one wins.
   * @param sessionTokens what the CLI's session has used in all; kept for the next run of it
   */
  ended(finish: Finish, sessionTokens?: TokenCounts | null): Promise<void>;
  delivered(executionId: string, superseded: boolean): Promise<void>;
  find(executionId: string): Promise<LedgerEntry | null>;
  /** Outcomes whose job record does not have them yet, and executions that have none. */
  open(): Promise<{ readonly outbox: readonly Finish[]; readonly unsettled: readonly LedgerEntry[] }>;
}
