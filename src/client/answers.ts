/** Answers of the API that have no schema in src/protocol; docs/api.md describes them. */
import type { JobListItem, JobStatus } from '../protocol/job.ts';
import type { UsageDimension, UsageRow } from '../protocol/usage.ts';

/** Which jobs to list; all of it narrows. */
export interface JobListQuery {
  readonly status?: readonly JobStatus[];
  readonly provider?: readonly string[];
  /** With every one of these. */
  readonly tag?: readonly string[];
  /** Made in this batch. */
  readonly batch?: string;
  /** RFC 3339. */
  readonly createdAfter?: string;
  /** RFC 3339, exclusive. */
  readonly createdBefore?: string;
  /** Text in the prompt. */
  readonly q?: string;
  /** 1 to 100. */
  readonly limit?: number;
  /** `nextCursor` of the page before. */
  readonly cursor?: string;
}

export interface JobPage {
  readonly data: readonly JobListItem[];
  readonly nextCursor: string | null;
}

export interface ProviderAnswer {
  readonly name: string;
  readonly available: boolean;
  readonly version: string | null;
  readonly binary: string | null;
  readonly authenticated: 'yes' | 'no' | 'unknown';
  readonly why: string | null;
  readonly todo: string | null;
  readonly circuit: 'closed' | 'open' | 'half_open';
  /** RFC 3339. */
  readonly circuitOpenUntil: string | null;
  readonly running: number;
  readonly concurrency: number | null;
  readonly fallback: string | null;
  readonly capabilities: Readonly<Record<string, unknown>>;
}

export interface ExecutionAnswer {
  readonly executionId: string;
  readonly jobId: string;
  readonly attempt: number;
  readonly provider: string;
  readonly pid: number;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly ageMs: number;
  readonly idleMs: number;
  readonly memoryBytes: number | null;
  readonly cpuSeconds: number | null;
  readonly openFiles: number | null;
  readonly processes: number | null;
}

/** A CLI process that runs nothing and waits for a prompt. */
export interface WaitingAnswer {
  readonly provider: string;
  readonly pid: number;
  readonly cwd: string;
  /** Whose next turn it waits for; null: for any job that would be started like it. */
  readonly sessionId: string | null;
  readonly waitingMs: number;
  readonly memoryBytes: number | null;
}

export interface ExecutionsAnswer {
  readonly data: readonly ExecutionAnswer[];
  readonly waiting: readonly WaitingAnswer[];
}

export interface Readiness {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, { readonly ok: boolean; readonly detail: string | null }>>;
}

export interface UsageQuery {
  readonly by?: UsageDimension;
  /** RFC 3339. */
  readonly from?: string;
  /** RFC 3339. */
  readonly to?: string;
}

export interface UsageReport {
  readonly by: UsageDimension;
  readonly from: string | null;
  readonly to: string | null;
  readonly data: readonly UsageRow[];
}
