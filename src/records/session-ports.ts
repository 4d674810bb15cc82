/** The durable records of sessions. */
import type { Service } from '../lifecycle.ts';
import type { Actor, OwnedAct } from '../protocol/audit.ts';
import type { SessionStoredEvent } from '../protocol/event.ts';
import type { SessionRequest, SessionStatus, TerminalTrigger } from '../protocol/session.ts';
import type { TerminalAsk, TerminalEvent, TerminalSize, TerminalState } from '../protocol/terminal.ts';
import type { UsedKey } from './ports.ts';

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
  /**
   * Whether the options are signed, or need not be. Else those of its first job count: the scripts
   * cannot sign.
   */
  readonly signed: boolean;
  readonly nativeSessionId: string | null;
  /** The session that it goes on from, as its CLI knows that one. */
  readonly fork: { readonly sessionId: string; readonly nativeSessionId: string } | null;
  readonly node: string | null;
  /** Rules that a person has given for its tools. */
  readonly rules: readonly string[];
  /** Of a terminal: the line that shows what it waits for. Else null. */
  readonly matchedLine: string | null;
  /** Null: it is a chat. */
  readonly terminal: Omit<TerminalState, 'command'> | null;
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
  /** Null, or left out: it is a chat. */
  readonly terminal?: TerminalSize | null;
  /** `starting`: its first turn, or its program, follows at once; else `ready`. */
  readonly status: 'starting' | 'ready';
  readonly createdAt: number;
  /** Null, or left out: the same request again makes another one. */
  readonly idempotency?: UsedKey | null;
  readonly by: Actor;
}

export type SessionCreated =
  | { readonly kind: 'created' }
  /** It is known already, and left as it is. */
  | { readonly kind: 'known' }
  /** The idempotency key has another session, or a job. */
  | { readonly kind: 'replayed'; readonly id: string }
  /** The idempotency key was used for another request. */
  | { readonly kind: 'mismatch' };

/** An entry of a session's stream: a change of its status, or events of a job. */
export type SessionEntry =
  | {
      readonly seq: number;
      /** RFC 3339 in UTC. */
      readonly at: string;
      readonly status: SessionStatus;
      readonly reason: string | null;
      /** Of a terminal: the line that shows what it waits for. Left out: none. */
      readonly matchedLine?: string;
    }
  | {
      readonly seq: number;
      readonly at: string;
      readonly event: TerminalEvent;
    }
  | {
      /** Of the last of them in the session. */
      readonly seq: number;
      readonly jobId: string;
      /** The job's own numbers of its events, from the first to the last. */
      readonly from: number;
      readonly to: number;
    };

/** What a node writes about the terminals that it has. */
export interface TerminalRecords {
  /**
   * Appends events to the session's stream. Returns the seq of the last one; 0: Redis has no record
   * of the session, or it is `failed`, so nothing was appended.
   * @param batch counts the appends of a terminal from 1. One that is repeated, because its answer
   *   was lost, is appended once: the answer is the seq that it had
   * @param keepFrom events with a smaller seq are no longer kept
   */
  append(id: string, batch: number, events: readonly NewTerminalEvent[], keepFrom: number): Promise<number>;
  /**
   * Moves the session by the table of transitions, and keeps the first exit code. False: Redis has
   * no record of it.
   */
  move(id: string, move: TerminalMove): Promise<boolean>;
  /** How many nodes have readers of the session. */
  readers(id: string): Promise<number>;
  /** The terminals of this node that are not over. */
  open(): Promise<readonly string[]>;
}

export interface NewTerminalEvent {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly event: TerminalEvent;
}

export interface TerminalMove {
  readonly trigger: TerminalTrigger;
  /** Code of the error that led to it; null: none did. */
  readonly reason: string | null;
  readonly matchedLine: string | null;
  /** Left out: not known, or it runs. */
  readonly exitCode?: number | null;
}

/** Asks other nodes for what only they can do. Each question is done at most once. */
export interface NodeAsks {
  /**
   * @throws AppError the error of the answer; execution.node_unavailable when none came in time:
   *   whether it was done is not known
   */
  ask(node: string, question: NodeQuestion): Promise<unknown>;
  /** Answers the questions of this node until `stop`. */
  serve(answer: (question: NodeQuestion) => Promise<unknown>): Service<void>;
}

export interface NodeQuestion {
  readonly sessionId: string;
  readonly ask: TerminalAsk;
}

export interface SessionRecords {
  create(session: NewSession): Promise<SessionCreated>;
  /** Makes one that Redis has lost again, with its stream, unless there is one. */
  restore(session: SessionRecord, entries: readonly SessionEntry[]): Promise<void>;
  /** @throws AppError record.damaged */
  read(id: string): Promise<SessionRecord | null>;
  /**
   * Closes it, also one without a record whose first job Redis still has. `open`: the jobs that
   * have not ended, which the caller cancels.
   */
  close(id: string, by: OwnedAct): Promise<{ readonly found: boolean; readonly open: readonly string[] }>;
  /**
   * Its jobs that have not ended, in order, also without a record: the first one runs, waits for an
   * approval, or is next.
   */
  open(id: string): Promise<readonly string[]>;
  /** Removes the record and its stream. False: a turn has not ended, or its program runs. */
  remove(id: string, by: OwnedAct): Promise<boolean>;
  /**
   * Entries with events with a seq above `after`, in order. Returns fewer than `limit` only at the
   * end. Null: it has no record.
   */
  entries(id: string, after: number, limit: number): Promise<readonly SessionEntry[] | null>;
  /**
   * Events with seq > after that Redis has, in order. Returns fewer than `limit` only at the end.
   * Without a record: those of the first job.
   */
  events(id: string, after: number, limit: number): Promise<readonly SessionStoredEvent[]>;
}
