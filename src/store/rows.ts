/**
 * What the store takes and gives. Plain types: rows are written only by this folder, so they are parsed (JSON
 * columns) but not validated on the way out. Every `…At` is RFC 3339 in UTC as `Date.toISOString` writes it.
 */
import type { JobListItem, JobStatus } from '../protocol/job.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Finish } from '../records/ports.ts';

/** What is committed before a CLI is spawned. */
export interface ExecutionIntent {
  readonly executionId: string;
  readonly jobId: string;
  readonly attempt: number;
  readonly bootId: string;
  readonly provider: string;
  readonly createdAt: string;
}

/** No outcome yet: not spawned (`intent`), or spawned and not known to have ended. */
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

/** What it takes, beside the outcome, to finish the job record later. */
export type OutcomeDelivery = Pick<Finish, 'from' | 'tail' | 'backoffMs' | 'rawAnswer'>;

/** The outcome is stored, the job record does not have it yet: the outbox. */
export type EndedExecution = ExecutionIntent &
  Ending & {
    readonly state: 'ended';
    readonly outcome: Outcome;
    readonly delivery: OutcomeDelivery;
  };

/** The job record took the outcome (`delivered`) or its fence refused it (`superseded`). */
export type SettledExecution = ExecutionIntent &
  Ending & {
    readonly state: 'delivered' | 'superseded';
    /** null once the job was deleted: its tokens and cost stay, its content does not. */
    readonly outcome: Outcome | null;
  };

export type ExecutionRow = UnsettledExecution | EndedExecution | SettledExecution;

/** A job record as the log stream brings it. Provider, model, cwd, prompt, tags and metadata are the request's. */
export interface ProjectedJob {
  readonly id: string;
  /** Grows with every change of the record; an older one is ignored. */
  readonly rev: number;
  readonly kind: 'api' | 'raw';
  readonly owner: string;
  readonly status: JobStatus;
  readonly waitReason: string | null;
  readonly scheduledFor: string | null;
  /** The batch it was made in. */
  readonly batchId: string | null;
  readonly request: ResolvedPrompt;
  readonly attempts: number;
  readonly retryOf: string | null;
  readonly node: string | null;
  readonly cancelRequested: boolean;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** When this revision was made. */
  readonly updatedAt: string;
  readonly outcome: Outcome | null;
}

/** A job as the list shows it: no prompt and no outcome text. `http` adds `finished` and `links`. */
export type JobSummary = Omit<JobListItem, 'finished' | 'links'> & {
  readonly owner: string;
  readonly kind: 'api' | 'raw';
};

/** An event as its stream has it: `body` is its own JSON text. */
export interface EventCopy {
  readonly jobId: string;
  readonly seq: number;
  readonly attempt: number;
  readonly kind: string;
  readonly at: string;
  readonly body: string;
  /** The CLI's line it came from. */
  readonly raw: string | null;
}

/** A job of a batch, as far as this node knows. */
export interface BatchJob {
  readonly id: string;
  readonly status: JobStatus;
  readonly owner: string;
  readonly createdAt: string;
}

export interface JobSummaryPage {
  readonly rows: readonly JobSummary[];
  /** null on the last page. */
  readonly nextCursor: string | null;
}

/** Where a session goes on: taken from its newest finished job that has a native session. */
export interface SessionOrigin {
  readonly owner: string;
  readonly provider: string;
  readonly cwd: string;
  readonly node: string | null;
  readonly nativeSessionId: string;
}

export interface NamedCursor {
  readonly name: string;
  readonly value: string;
}
