import type { Outcome, Usage } from './outcome.ts';

/**
 * One thing that happened to a job. Normalised over all CLIs; clients ignore kinds they do not know.
 * `raw` (a line the provider does not know) and the `raw` field (the CLI's own line beside the event) leave
 * the server only when the reader asks for them.
 */
export type ExecutionEvent =
  | {
      readonly kind: 'execution.started';
      readonly executionId: string;
      readonly pid: number;
      readonly provider: string;
      readonly version: string | null;
      /** Whether its process was started for it, waited for it, or had run its session's last turn. */
      readonly start: 'cold' | 'warm' | 'session';
    }
  | {
      readonly kind: 'session';
      readonly sessionId: string | null;
      readonly nativeSessionId: string;
      readonly model: string | null;
    }
  | { readonly kind: 'text.delta'; readonly text: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'reasoning'; readonly text: string }
  | {
      readonly kind: 'tool.started';
      readonly toolId: string;
      readonly name: string;
      readonly input: unknown;
    }
  | {
      readonly kind: 'tool.ended';
      readonly toolId: string;
      readonly name: string | null;
      readonly isError: boolean;
      readonly output: string;
    }
  | { readonly kind: 'usage'; readonly usage: Usage }
  | {
      readonly kind: 'retry';
      /** Which of the CLI's own retries this is; not the job's attempt. */
      readonly retry: number;
      readonly maxRetries: number | null;
      readonly delayMs: number | null;
      readonly status: number | null;
      readonly reason: string;
    }
  | {
      readonly kind: 'rate_limit';
      readonly status: string;
      readonly resetsAt: string | null;
      readonly limit: string | null;
    }
  | { readonly kind: 'warning'; readonly code: string; readonly message: string }
  | { readonly kind: 'raw'; readonly line: string };

/** The event that ends an execution; it carries the whole outcome. */
export interface ExecutionFinished {
  readonly kind: 'execution.finished';
  readonly executionId: string;
  readonly outcome: Outcome;
}

/** Events of the job around its executions; written only by the scripts that change the job record. */
export type JobEvent =
  | { readonly kind: 'job.queued' }
  | { readonly kind: 'job.scheduled'; readonly waitReason: string; readonly scheduledFor: string }
  | { readonly kind: 'job.running'; readonly executionId: string; readonly node: string }
  | { readonly kind: 'job.finished'; readonly job: unknown };

export type EventBody = ExecutionEvent | ExecutionFinished | JobEvent;
export type EventKind = EventBody['kind'];

/** An execution's event with the CLI's own line it came from, if any. */
export interface SourcedEvent {
  readonly event: ExecutionEvent;
  readonly raw: string | null;
}

/**
 * An event as it stands in the job's stream and as readers get it. `seq` runs from 1 without gaps over all
 * attempts of the job. `at` is RFC 3339 in UTC.
 */
export type StoredEvent = {
  readonly seq: number;
  readonly jobId: string;
  readonly attempt: number;
  readonly at: string;
  readonly raw: string | null;
} & EventBody;
