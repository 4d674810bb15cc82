/** ⑤ Who runs the CLI of a claim: this host, or an executor on another one. */
import { AppError } from '../errors.ts';
import type { ExecutionEvent } from '../protocol/event.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Provider } from '../providers/provider.ts';
import type { Claim } from '../records/ports.ts';
import type { ExecutionResult, StopSignals } from './execute.ts';
import type { Talker } from './slots.ts';

/** Gets every event in order. `raw` is the CLI's line it came from. */
export type Emit = (event: ExecutionEvent, raw: string | null) => void;

/** Slows the source of the events down. */
export interface Flow {
  pause(): void;
  resume(): void;
}

export interface RunControls {
  readonly signals: StopSignals;
  /** Whether the use of the credential's limits matters. */
  readonly watchesUse: boolean;
  readonly emit: Emit;
  /** Called when there is a source that can be slowed down. */
  onFlow(flow: Flow): void;
  /** The CLI has begun. Gets what brings it the acts of people. */
  onTalker(talker: Talker): void;
  /** Called before the first event of a CLI on another host: its pid is one of that host. */
  onElsewhere(): void;
}

/** An execution that may be spawned. */
export interface Runnable {
  /** The job's own, or its fallback. */
  readonly provider: Provider;
  readonly request: ResolvedPrompt;
  /** Why the fallback runs it; null when the job's own provider does. */
  readonly fallbackReason: string | null;
  /**
   * Starts the CLI and runs it to its end, at most once.
   * @throws AppError when it was not started: nothing was emitted then, but for warnings
   */
  run(controls: RunControls): Promise<ExecutionResult>;
}

/** tests/contracts/runner.test.ts runs against each of them. */
export interface Runner {
  /**
   * Prepares a claim. The request in Redis is not trusted: it is checked again, against the
   * settings in force.
   * @throws AppError for each reason to refuse the execution; execution.cli_missing: a fallback may
   *   run it
   */
  prepare(claim: Claim): Promise<Runnable>;
  /**
   * Prepares a claim for the fallback of its provider, whose CLI is missing.
   * @throws AppError `missing` when no fallback can run this job
   */
  prepareFallback(claim: Claim, missing: AppError): Promise<Runnable>;
  /**
   * What goes on over a restart of the server: executions on another host. Null: the processes of
   * all executions die with the server.
   */
  readonly lasting: LastingRuns | null;
  /** Whether there is a point in claiming more. */
  accepts(): boolean;
  /** Why nothing can be started now, or null. */
  problem(): string | null;
}

/** Executions that the ledger knows, without an outcome: they may still run, or have ended. */
export interface LastingRuns {
  /**
   * Goes on with an execution, and with its fallback. What was checked before its start is not
   * checked again. Its `run` starts nothing.
   * @throws AppError provider.unknown
   */
  goOn(claim: Claim): Runnable;
  /**
   * Ends an execution that is over for the server, as far as its host can be reached. Never
   * rejects.
   */
  abandon(executionId: string): Promise<void>;
}

/** The CLI is not installed, or cannot be started. */
export const isCliMissing = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'execution.cli_missing';
