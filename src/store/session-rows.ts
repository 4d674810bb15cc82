/** What this node's copies say about sessions and approvals. */
import type { ApprovalQuery, Page, SessionQuery } from '../http/session-ports.ts';
import type { Approval } from '../protocol/approval.ts';
import type { Usage } from '../protocol/outcome.ts';
import type { Session, Turn } from '../protocol/session.ts';

/** A session without what only a running server knows. */
export interface SessionRow extends Omit<Session, 'process' | 'links'> {
  /** Whether `POST /v1/sessions` made it. */
  readonly explicit: boolean;
}

/** The operations of the store that read them. Null for a project: of every project. */
export interface SessionOperations {
  /** Also of a single job without a record: then its state is that of its job. */
  'sessions.get': (args: { readonly id: string }) => SessionRow | null;
  /** The one with the latest activity first. */
  'sessions.list': (args: {
    readonly project: string | null;
    readonly query: SessionQuery;
    /** Sessions with a live process here: they are listed also when a single job made them. */
    readonly live: readonly string[];
  }) => Page<SessionRow>;
  /** In the order of their jobs. */
  'sessions.turns': (args: {
    readonly id: string;
    readonly limit: number;
    readonly cursor: string | null;
  }) => Page<Turn>;
  /** Of all jobs of the session that have ended. Null: none of them reported any. */
  'sessions.usage': (args: { readonly id: string }) => Usage | null;
  /** Sessions that are not closed, by status. */
  'sessions.counts': (args: Record<string, never>) => Readonly<Record<string, number>>;
  'approvals.get': (args: { readonly id: string }) => Approval | null;
  /** Oldest first. */
  'approvals.list': (args: {
    readonly project: string | null;
    readonly query: ApprovalQuery;
  }) => Page<Approval>;
}
