/** The records as the sweeps use them. */
import type { Outcome } from '../protocol/outcome.ts';

export interface Counts {
  /** Ready, or given to a node that has not claimed them. */
  readonly pending: number;
  /** Behind another job of their session or concurrency key. */
  readonly parked: number;
  readonly scheduled: number;
  readonly running: number;
  readonly nodes: number;
  /** Those that are pending. */
  readonly approvals: number;
}

export interface SweptJobs {
  /** A node was given them. */
  readonly deliver: readonly string[];
  /** They have ended. */
  readonly remove: readonly string[];
}

/** For the sweeps: they find what a lost message or a dead node left behind. */
export interface Upkeep {
  /**
   * Registers this node, when it starts.
   * @param about for people: the version of the program, and its host
   * @throws AppError config.invalid when a node runs whose records have another form; one that was
   * silent for `absentMs` is gone
   */
  join(about: { readonly version: string; readonly host: string }, absentMs: number): Promise<void>;
  /**
   * Puts unfinished jobs of the version before this one where they belong. Returns false when there
   * are none of that version.
   * @param over all of them were named by this call or earlier ones
   */
  migrate(ids: readonly string[], over: boolean): Promise<boolean>;
  /**
   * Makes due jobs ready, and names at most `limit` jobs whose entries in BullMQ are not yet as
   * they should be. Each is named again after `againInMs`.
   */
  sweep(againInMs: number, limit: number): Promise<SweptJobs>;
  /** BullMQ no longer has entries for these ended jobs. */
  removed(ids: readonly string[]): Promise<void>;
  /**
   * Ends jobs that waited longer than their ttlMs, for a limit longer than their quotaTimeoutMs
   * (as `execution.quota`), or for a person longer than their approvalTimeoutMs (as
   * `approval.expired`). Returns their ids.
   */
  expire(outcome: Outcome, limit: number): Promise<readonly string[]>;
  /** Ends those of these jobs that do not run. Returns their ids. */
  revoke(ids: readonly string[], outcome: Outcome): Promise<readonly string[]>;
  /**
   * Ends the executions of nodes that were silent for `absentMs` as lost, and the waiting jobs that
   * only those nodes may run as unavailable. Returns the ids of the jobs.
   */
  settleLost(absentMs: number, lost: Outcome, unavailable: Outcome): Promise<readonly string[]>;
  /** This node stops: the others need not wait for its heartbeat. */
  leave(): Promise<void>;
  /** Counts for health and metrics. */
  counts(): Promise<Counts>;
}
