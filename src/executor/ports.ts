/** The executor, and what it needs: the ledger, and counters. */
import type { TokenCounts } from '../protocol/outcome.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { Claim, Finish } from '../records/ports.ts';
import type { RecoveryReport } from './recovery.ts';
import type { CliStarter, StartCounts } from './warm/cli-starter.ts';

export interface Executor {
  /** Settles the executions of an earlier run, then takes work. */
  start(): Promise<RecoveryReport>;
  /** Takes no new work. Running executions get `drainMs` to end and are interrupted after that. */
  stop(drainMs: number): Promise<void>;
  /** Interrupts all executions without a grace, at a second signal. */
  abort(): void;
  /** There may be something to claim. */
  kick(): void;
  /** The cancel flag of a job may be set. */
  lookAtCancel(jobId: string): void;
  /** There may be a decision, or a message, for the CLI of a job. */
  talk(jobId: string): void;
  status(): { readonly running: number; readonly limit: number; readonly accepting: boolean };
  /** Counts of how executions got their processes, and of idle processes. */
  starts(): StartCounts;
  /** Whether a job of this provider could start now. */
  hasRoom(provider: string): boolean;
  /** Why no CLI can be started now, or null. */
  problem(): string | null;
  /** The claims whose CLI runs, or is about to. */
  running(): readonly Claim[];
  /** Executions that this provider runs now, including as a fallback. */
  runningOf(provider: string): number;
  /** The processes of CLIs: those that run a job first, then the idle ones. */
  processes(): readonly CliProcess[];
  /** Ends some idle processes. Resolves with their number once they are gone. */
  endIdle: CliStarter['endIdle'];
}

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

/** A claim, as far as the ledger keeps it. */
export interface IntendedClaim extends Pick<Claim, 'jobId' | 'executionId' | 'attempt'> {
  readonly request: Pick<Claim['request'], 'provider'>;
}

/** The executor's side of the ledger: intent before the spawn, outcome before it is published. */
export interface Ledger {
  /**
   * Commits that this execution will be spawned. False: it must not be spawned, because the ledger
   * knows the attempt or the end of its job.
   */
  intend(claim: IntendedClaim): Promise<boolean>;
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
