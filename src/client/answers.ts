/**
 * Queries and answers of the API that have no schema in src/protocol; docs/api.md describes them.
 */
import type { AuditEntry } from '../protocol/audit.ts';
import type { Batch, JobFilter, JobListItem } from '../protocol/job.ts';
import type { UsageDimension, UsageRow } from '../protocol/usage.ts';

export interface PageQuery {
  /** 1 to 100. */
  readonly limit?: number;
  /** `nextCursor` of the previous page. */
  readonly cursor?: string;
}

/** One page of the jobs that a filter names. */
export interface JobListQuery extends JobFilter, PageQuery {}

/** The jobs that a change of many means: one page of up to 1,000. */
export interface JobSelection {
  readonly filter: JobFilter;
  /** Must be true for a filter without a condition. */
  readonly all?: boolean;
  readonly cursor?: string;
}

export interface AuditPage {
  readonly data: readonly AuditEntry[];
  readonly nextCursor: string | null;
}

/** Any JSON object. */
export type Preferences = Readonly<Record<string, unknown>>;

export interface BatchPage {
  readonly data: readonly Batch[];
  readonly nextCursor: string | null;
}

export interface JobPage {
  readonly data: readonly JobListItem[];
  readonly nextCursor: string | null;
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
