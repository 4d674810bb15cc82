/** The durable records of sessions. */
import type { Actor, OwnedAct } from '../protocol/audit.ts';
import type { SessionStoredEvent } from '../protocol/event.ts';
import type { SessionRequest, SessionStatus } from '../protocol/session.ts';

/** What holds for every turn of a session, with the settings' defaults. */
export type SessionOptions = Omit<SessionRequest, 'kind' | 'name' | 'tags' | 'metadata' | 'prompt'> & {
  readonly provider: string;
  readonly cwd: string;
};

/**
 * A session's record. It exists from `POST /v1/sessions`, or from the second job of a session on:
 * until then the record of its first job counts as the session's. Times are milliseconds since the
 * epoch.
 */
export interface SessionRecord {
  readonly id: string;
  readonly rev: number;
  readonly kind: 'chat' | 'terminal';
  /** Whether `POST /v1/sessions` made it. */
  readonly explicit: boolean;
  readonly name: string | null;
  readonly status: SessionStatus;
  readonly statusReason: string | null;
  readonly project: string;
  readonly principal: string;
  readonly options: SessionOptions;
  readonly nativeSessionId: string | null;
  /** The session that it goes on from, as its CLI knows that one. */
  readonly fork: { readonly sessionId: string; readonly nativeSessionId: string } | null;
  readonly node: string | null;
  /** Rules that a person has given for its tools. */
  readonly rules: readonly string[];
  readonly turns: number;
  readonly lastSeq: number;
  readonly createdAt: number;
  readonly lastActivityAt: number;
  readonly closedAt: number | null;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
}

export interface NewSession
  extends Pick<
    SessionRecord,
    'id' | 'kind' | 'name' | 'project' | 'principal' | 'options' | 'fork' | 'node' | 'tags' | 'metadata'
  > {
  readonly createdAt: number;
  readonly by: Actor;
}

export interface SessionRecords {
  /** Makes one; an id that is known already is left as it is. False: it was known. */
  create(session: NewSession): Promise<boolean>;
  /** @throws AppError record.damaged */
  read(id: string): Promise<SessionRecord | null>;
  /**
   * Closes it. `open`: the jobs that have not ended, which the caller cancels.
   */
  close(id: string, by: OwnedAct): Promise<{ readonly found: boolean; readonly open: readonly string[] }>;
  /**
   * Its jobs that have not ended, in order, also without a record: the first one runs, waits for an
   * approval, or is next.
   */
  open(id: string): Promise<readonly string[]>;
  /** Removes the record and its stream. */
  remove(id: string, by: OwnedAct): Promise<void>;
  /** Events with seq > after, in order. Returns fewer than `limit` only at the end. */
  events(id: string, after: number, limit: number): Promise<readonly SessionStoredEvent[]>;
}
