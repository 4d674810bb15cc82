/** What the HTTP door of `bullpen executor` needs from what is behind it. */
import type {
  CancelRequest,
  ExecutionLine,
  KnownExecution,
  Submission,
} from '../protocol/executor-service.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { PromptRequest } from '../protocol/prompt.ts';

/** The executions of this executor. Its ledger and its stored events are the truth. */
export interface RemoteExecutions {
  /** Id of its ledger. */
  readonly node: string;
  /**
   * Takes an execution. The same one again changes nothing.
   * @throws AppError execution.id_reused, queue.full, server.stopping
   */
  submit(submission: Submission): Promise<KnownExecution>;
  /** Those that run or wait, then those that ended last; at most 1000. */
  known(): Promise<readonly KnownExecution[]>;
  /**
   * Renews the execution, and resolves with its lines with n > `after`: what is stored, then what
   * comes, until it has ended or `signal` aborts.
   * @throws AppError execution.not_found
   */
  follow(id: string, after: number, signal: AbortSignal): Promise<AsyncIterable<ExecutionLine>>;
  /**
   * Ends an execution. One that is not known is remembered as cancelled, so that it never starts.
   * Resolves when that is certain; the CLI may take its grace.
   */
  cancel(id: string, request: CancelRequest): Promise<KnownExecution>;
  /**
   * Runs a prompt of `POST /execute` to its end. When `signal` aborts, it is cancelled.
   * @throws AppError as for a job with that request, queue.full, server.stopping
   */
  execute(
    request: PromptRequest,
    signal: AbortSignal,
  ): Promise<{ readonly outcome: Outcome; readonly finalLine: string | null }>;
}

/** What `GET /health` of the executor shows. */
export interface ExecutorHealth {
  readonly status: 'healthy' | 'unhealthy';
  readonly claudeAvailable: boolean;
  readonly version: string | null;
  /** Whether the CLI says that it is logged in; null: it does not say. */
  readonly loggedIn: boolean | null;
  /** What is wrong; null: nothing. */
  readonly problem: string | null;
  readonly activeRequests: number;
}

/** Counts since the start, as the JSON of `GET /metrics` has them. */
export interface ExecutorCounts {
  readonly totalRequests: number;
  readonly successfulRequests: number;
  readonly failedRequests: number;
  /** Milliseconds. */
  readonly averageExecutionTime: number;
  readonly activeRequests: number;
}
