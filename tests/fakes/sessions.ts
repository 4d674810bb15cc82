import { ulid } from 'ulid';
import { maySee, type Principal } from '../../src/auth/principal.ts';
import { AppError } from '../../src/errors.ts';
import type { Idempotency, Jobs } from '../../src/http/ports.ts';
import type { SessionFeed, SessionQuery, Sessions } from '../../src/http/session-ports.ts';
import type { SessionStoredEvent } from '../../src/protocol/event.ts';
import {
  type MessageRequest,
  type Session,
  type SessionRequest,
  type SessionStatus,
  sessionLinks,
  type Turn,
} from '../../src/protocol/session.ts';
import { createIsNewMessage } from './terminals.ts';

/** The Sessions port in memory. Nothing runs by itself: a test sets a status with `move`. */
export class FakeSessions implements Sessions {
  readonly queries: SessionQuery[] = [];
  readonly waited: { readonly until: SessionStatus; readonly waitMs: number }[] = [];
  readonly messages: (MessageRequest & { readonly sessionId: string })[] = [];
  readonly interrupted: string[] = [];
  /** Thrown by the next call, once. */
  failNext: AppError | null = null;
  /** Thrown by the next interrupt, once. */
  failInterrupt: AppError | null = null;
  /** The answer to the next messages into a running turn. */
  delivered: 'steered' | 'next' = 'steered';
  /** All sessions, by id. */
  readonly held = new Map<string, Session>();
  readonly #isNew = createIsNewMessage();
  readonly #keys = new Map<string, { readonly fingerprint: string; readonly id: string }>();
  readonly #jobs: Pick<Jobs, 'create' | 'get'>;

  constructor(jobs: Pick<Jobs, 'create' | 'get'>) {
    this.#jobs = jobs;
  }

  async create(principal: Principal, request: SessionRequest, key: Idempotency | null) {
    this.#fail();
    return this.#once(principal, key, () => this.#make(principal, request, null));
  }

  async get(principal: Principal, id: string): Promise<Session> {
    this.#fail();
    return this.#find(principal, id);
  }

  async wait(principal: Principal, id: string, wait: { until: SessionStatus; waitMs: number }) {
    this.waited.push(wait);
    return this.#find(principal, id);
  }

  async list(principal: Principal, query: SessionQuery) {
    this.queries.push(query);
    const data = [...this.held.values()].filter(({ project }) => maySee(principal, project));
    return { data, nextCursor: null };
  }

  async message(principal: Principal, id: string, request: MessageRequest, key: Idempotency | null) {
    this.#fail();
    const session = this.#find(principal, id);
    if (session.status === 'closed') throw new AppError('session.closed', 'the session is closed');
    this.messages.push({ ...request, sessionId: id });
    const created = await this.#jobs.create(principal, { prompt: request.prompt, sessionId: id }, key);
    if (request.delivery !== 'steer') return { created };
    const messageId = '2f1c7a52-0d3b-4c8e-8f43-5a7b1e600d2c';
    return { steered: { messageId, delivered: this.delivered, jobId: created.job.id } };
  }

  async messageJob(principal: Principal, jobId: string, request: MessageRequest, key: Idempotency | null) {
    const job = await this.#jobs.get(principal, jobId);
    if (job.finished) throw new AppError('job.already_finished', 'the job has already ended');
    if (!this.held.has(job.sessionId)) this.#make(principal, {}, null, job.sessionId);
    return this.message(principal, job.sessionId, request, key);
  }

  async turns(principal: Principal, id: string) {
    this.#find(principal, id);
    return { data: [] as Turn[], nextCursor: null };
  }

  async interrupt(principal: Principal, id: string, messageId: string | null) {
    this.#find(principal, id);
    const error = this.failInterrupt;
    this.failInterrupt = null;
    if (error !== null) throw error;
    const repeated = messageId !== null && !(await this.#isNew(id, messageId));
    if (!repeated) this.interrupted.push(id);
    return repeated;
  }

  async fork(principal: Principal, id: string, key: Idempotency | null) {
    this.#fail();
    this.#find(principal, id);
    return this.#once(principal, key, () => this.#make(principal, {}, id));
  }

  async close(principal: Principal, id: string) {
    this.#find(principal, id);
    return this.move(id, 'closed');
  }

  async delete(principal: Principal, id: string) {
    const { status } = this.#find(principal, id);
    if (status === 'busy') throw new AppError('session.not_finished', 'a turn has not ended');
    this.held.delete(id);
  }

  move(id: string, status: SessionStatus): Session {
    const before = this.held.get(id);
    if (before === undefined) throw new Error(`no session ${id}`);
    const session = { ...before, status };
    this.held.set(id, session);
    return session;
  }

  #find(principal: Principal, id: string): Session {
    const session = this.held.get(id);
    if (session !== undefined && maySee(principal, session.project)) return session;
    throw new AppError('session.not_found', 'there is no session with this id');
  }

  #once(principal: Principal, key: Idempotency | null, make: () => Session) {
    if (key === null) return { session: make(), replayed: false };
    const name = `${principal.id} ${key.key}`;
    const before = this.#keys.get(name);
    if (before !== undefined && before.fingerprint !== key.fingerprint)
      throw new AppError('idempotency.key_reused', 'the key was used with another request');
    if (before !== undefined) return { session: this.#find(principal, before.id), replayed: true };
    const session = make();
    this.#keys.set(name, { fingerprint: key.fingerprint, id: session.id });
    return { session, replayed: false };
  }

  #make(owner: Principal, request: SessionRequest, forkedFrom: string | null, id = ulid()): Session {
    const at = new Date().toISOString();
    const session: Session = {
      ...{
        id,
        kind: request.kind ?? 'chat',
        name: request.name ?? null,
        status: 'ready',
        statusReason: null,
      },
      ...{ matchedLine: null, project: owner.project, principal: owner.id },
      ...{
        provider: request.command ?? request.provider ?? 'claude',
        model: request.model ?? null,
        cwd: request.cwd ?? '/workspace',
      },
      ...{
        nativeSessionId: null,
        node: null,
        process: null,
        terminal: request.kind === 'terminal' ? terminalOf(request) : null,
        turns: 0,
        usage: null,
        forkedFrom,
      },
      ...{ createdAt: at, lastActivityAt: at, closedAt: null },
      ...{ tags: request.tags ?? [], metadata: request.metadata ?? {}, links: sessionLinks(id) },
    };
    this.held.set(id, session);
    return session;
  }

  #fail(): void {
    const error = this.failNext;
    this.failNext = null;
    if (error !== null) throw error;
  }
}

const terminalOf = ({ cols = 80, rows = 24, command }: SessionRequest) => ({
  ...{ cols, rows, command: command ?? null, exitCode: null },
});

/** The SessionFeed port: what a test has put in, then nothing until the reader leaves. */
export class FakeSessionFeed implements SessionFeed {
  readonly events: SessionStoredEvent[] = [];

  async *read(sessionId: string, after: number, signal: AbortSignal) {
    yield this.events.filter((event) => event.sessionId === sessionId && event.seq > after);
    if (signal.aborted) return;
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }
}
