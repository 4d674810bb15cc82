/** The services for sessions, messages and approvals that HTTP uses. */
import type { Principal } from '../auth/principal.ts';
import type { Approval, ApprovalStatus, DecideRequest } from '../protocol/approval.ts';
import type { SessionStoredEvent } from '../protocol/event.ts';
import type {
  MessageRequest,
  Session,
  SessionRequest,
  SessionStatus,
  Steered,
  Turn,
} from '../protocol/session.ts';
import type { TerminalAnswers, TerminalAsk } from '../protocol/terminal.ts';
import type { Created, Idempotency } from './ports.ts';

export interface SessionQuery {
  readonly status: readonly SessionStatus[];
  readonly kind: 'chat' | 'terminal' | null;
  readonly provider: string | null;
  readonly tag: readonly string[];
  readonly q: string | null;
  /** Whether those of single jobs are listed, too. */
  readonly all: boolean;
  readonly limit: number;
  readonly cursor: string | null;
}

export interface Page<T> {
  readonly data: readonly T[];
  readonly nextCursor: string | null;
}

/** Every method throws AppError: session.not_found, including for another project's. */
export interface Sessions {
  /** @throws AppError limit.sessions, and what `Jobs.create` throws for a request with a prompt */
  create(
    principal: Principal,
    request: SessionRequest,
    idempotency: Idempotency | null,
  ): Promise<{ readonly session: Session; readonly replayed: boolean }>;
  get(principal: Principal, id: string): Promise<Session>;
  /** The session once it has this status, or as it is after `waitMs`. */
  wait(
    principal: Principal,
    id: string,
    wait: { readonly until: SessionStatus; readonly waitMs: number },
    signal: AbortSignal,
  ): Promise<Session>;
  list(principal: Principal, query: SessionQuery): Promise<Page<Session>>;
  /**
   * `created`: the next turn; `steered`: what became of a message for the running one.
   * @throws AppError session.closed, provider.unsupported_option
   */
  message(
    principal: Principal,
    id: string,
    request: MessageRequest,
    idempotency: Idempotency | null,
  ): Promise<{ readonly created: Created } | { readonly steered: Steered }>;
  /**
   * The same for the session of a running job.
   * @throws AppError job.not_found, job.already_finished
   */
  messageJob(
    principal: Principal,
    jobId: string,
    request: MessageRequest,
    idempotency: Idempotency | null,
  ): Promise<{ readonly created: Created } | { readonly steered: Steered }>;
  turns(
    principal: Principal,
    id: string,
    page: { readonly limit: number; readonly cursor: string | null },
  ): Promise<Page<Turn>>;
  /**
   * Stops the running turn; a message stops one.
   * @param messageId null: it is no message
   * @returns whether the message did so before
   */
  interrupt(principal: Principal, id: string, messageId: string | null): Promise<boolean>;
  /** @throws AppError session.not_found, also when its CLI has not begun it; limit.sessions */
  fork(
    principal: Principal,
    id: string,
    idempotency: Idempotency | null,
  ): Promise<{ readonly session: Session; readonly replayed: boolean }>;
  close(principal: Principal, id: string): Promise<Session>;
  /** @throws AppError session.not_finished */
  delete(principal: Principal, id: string): Promise<void>;
}

/** What a caller can do with the PTY of a terminal, on the node that has it. */
export interface Terminals {
  /**
   * Has it done, and resolves then. An input, a resize and a signal are done at most once.
   * @throws AppError session.not_found, session.wrong_kind, terminal.over,
   *   execution.node_unavailable when its node does not answer: whether it was done is not known
   */
  ask<Kind extends TerminalAsk['kind']>(
    principal: Principal,
    sessionId: string,
    ask: Extract<TerminalAsk, { kind: Kind }>,
  ): Promise<TerminalAnswers[Kind]>;
}

/** The events of a session, in order and without a gap: the stored ones, then new ones. */
export interface SessionFeed {
  /**
   * Batches of events with a seq above `after`. Ends when `signal` aborts.
   * @param after null: a terminal begins with its screen, a chat with its first event. A terminal
   *   whose events after a seq are no longer kept begins with its screen, too
   */
  read(
    sessionId: string,
    after: number | null,
    signal: AbortSignal,
  ): AsyncIterable<readonly SessionStoredEvent[]>;
}

export interface ApprovalQuery {
  readonly status: ApprovalStatus | null;
  readonly jobId: string | null;
  readonly sessionId: string | null;
  readonly limit: number;
  readonly cursor: string | null;
}

/** Every method throws AppError: approval.not_found, including for another project's. */
export interface ApprovalService {
  /** Oldest first. */
  list(principal: Principal, query: ApprovalQuery): Promise<Page<Approval>>;
  get(principal: Principal, id: string): Promise<Approval>;
  /**
   * The same decision again changes nothing.
   * @throws AppError approval.already_decided, request.invalid, tools.denied
   */
  decide(principal: Principal, id: string, request: DecideRequest): Promise<Approval>;
}
