/** What the executor needs: the ledger, and counters. */
import type { TokenCounts } from '../protocol/outcome.ts';
import type { Claim, Finish } from '../records/ports.ts';

export interface LedgerEntry {
  readonly executionId: string;
  readonly jobId: string;
  /** The stored outcome, with everything its delivery needs. Null while there is none. */
  readonly finish: Finish | null;
}

/** What the executor counts for the metrics. */
export interface ExecutorMeasures {
  /** Processes that were left running have been killed. */
  swept(processes: number): void;
  /** Executions were found without their doorbell. */
  recovered(executions: number): void;
}

/** The executor's side of the ledger: intent before the spawn, outcome before it is published. */
export interface Ledger {
  /**
   * Commits that this execution will be spawned. False: it must not be spawned, because the ledger
   * knows the attempt or the end of its job.
   */
  intend(claim: Claim): Promise<boolean>;
  started(executionId: string, pid: number): Promise<void>;
  /**
   * Commits the outcome. The first one wins.
   * @param sessionTokens total use of the CLI's session, for its next run
   */
  ended(finish: Finish, sessionTokens?: TokenCounts | null): Promise<void>;
  delivered(executionId: string, superseded: boolean): Promise<void>;
  /** What the ledger knows of an attempt, perhaps under another id, or of the end of its job. */
  find(claim: Pick<Claim, 'jobId' | 'attempt' | 'executionId'>): Promise<LedgerEntry | null>;
  /** Outcomes that their job records do not have yet, and executions without an outcome. */
  open(): Promise<{ readonly outbox: readonly Finish[]; readonly unsettled: readonly LedgerEntry[] }>;
}
