/** One live connection: it authenticates, and takes commands in order. */
import { ulid } from 'ulid';
import type { Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { CloseCode, LiveAnswer, LiveRequest } from '../protocol/live.ts';
import { invalid } from '../protocol/problem.ts';
import type { Redactor } from '../redactor.ts';
import type { ActingRequest } from './commands.ts';
import { toAppError } from './encoding.ts';
import type { Feed, Subscribe } from './feeds.ts';
import { checkRenewal, checkTicket, type Identify } from './identify.ts';
import { createMessageRate } from './message-rate.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import type { BoundSession, LiveConnection, LiveIdentity, LiveMeasures, LiveSocket } from './ports.ts';
import { messageIdOf, requestOf, targetOf } from './requests.ts';
import { Subscriptions } from './subscriptions.ts';

/** Time for the first `auth`. */
const AUTH_MS = 10_000;
const PING_EVERY_MS = 25_000;
const PONG_MS = 20_000;
/** Commands whose answer is still to come. */
const MAX_UNANSWERED = 100;
const TOO_SLOW = 'the reader was too slow';

export interface ConnectionOptions {
  readonly socket: LiveSocket;
  readonly identity: LiveIdentity | null;
  readonly bound: BoundSession | null;
  readonly messagesPerSecond: number;
  act(principal: Principal, request: ActingRequest): Promise<LiveAnswer>;
  open(principal: Principal, request: Subscribe, signal: AbortSignal): Promise<Feed>;
  readonly identify: Identify;
  /** @throws AppError session.not_found */
  find(principal: Principal, sessionId: string): Promise<unknown>;
  /** As `Authenticator.current`. */
  current(principal: Principal): Principal | null;
  /** Called once, when it has ended. */
  onEnd(code: CloseCode | null): void;
  readonly redactor: Pick<Redactor, 'value'>;
  readonly measures: Pick<LiveMeasures, 'received' | 'sent' | 'refusedMessage' | 'refusedLogin'>;
  readonly now: () => number;
  readonly logger: Pick<Log, 'error'>;
}

export class Connection implements LiveConnection {
  readonly transport: LiveSocket['transport'];
  readonly #options: ConnectionOptions;
  readonly #outbox: Outbox;
  readonly #takeMessage: ReturnType<typeof createMessageRate>;
  readonly #subscriptions: Subscriptions;
  /** The last work about each target. */
  readonly #work = new Map<string, Promise<void>>();
  readonly #openedAt: number;
  #identity: LiveIdentity | null;
  #authenticating: Promise<void> | null = null;
  #unanswered = 0;
  #pingedAt: number;
  #awaitsPong = false;
  #ended = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.transport = options.socket.transport;
    const { socket, identity, messagesPerSecond, open, redactor, measures, now, logger } = options;
    this.#identity = identity;
    this.#outbox = createOutbox({ socket, redactor, measures, now, logger });
    this.#subscriptions = new Subscriptions({
      ...{ open, outbox: this.#outbox },
      onSlow: () => this.close(4409, TOO_SLOW),
    });
    this.#takeMessage = createMessageRate(messagesPerSecond, now);
    this.#openedAt = now();
    this.#pingedAt = now();
    if (identity !== null) this.#subscribeToBound();
  }

  /** Whether it has not authenticated yet. */
  get isStranger(): boolean {
    return this.#identity === null;
  }

  receive(message: unknown): void {
    if (this.#ended) return;
    this.#options.measures.received(this.transport);
    this.#awaitsPong = false;
    try {
      if (this.#isInTime()) this.#handle(requestOf(message));
    } catch (error) {
      this.#outbox.refuse(error, { to: messageIdOf(message) });
    }
  }

  refuse(why: 'malformed' | 'too_large'): void {
    if (this.#ended) return;
    this.#options.measures.received(this.transport);
    try {
      if (why === 'too_large') this.close(4413, 'a message was too large');
      else if (this.#isInTime()) throw invalid([{ path: '', message: 'must be one JSON object as text' }]);
    } catch (error) {
      this.#outbox.refuse(error, { to: null });
    }
  }

  /** Checks what depends on time. */
  tick(): void {
    if (this.#ended) return;
    const now = this.#options.now();
    const identity = this.#identity;
    if (identity === null) {
      if (now - this.#openedAt >= AUTH_MS) this.close(4401, 'no token came in time');
    } else {
      try {
        this.#subscriptions.endForbidden(this.#principal());
      } catch (error) {
        if (toAppError(error).code === 'auth.unauthenticated') this.close(4401, 'the token is over');
        else this.close(1001, 'whether the token is still valid is not known');
      }
    }
    if (this.#outbox.isStalled()) this.close(4409, TOO_SLOW);
    const silentMs = now - this.#pingedAt;
    if (this.#awaitsPong && silentMs >= PONG_MS) this.close(4408, 'no pong came in time');
    if (this.#ended || silentMs < PING_EVERY_MS) return;
    this.#pingedAt = now;
    this.#awaitsPong = true;
    this.#outbox.ping();
    if (identity !== null) this.#leaveIfGone();
  }

  /** @param why sent as an `error` first; left out: the code says it all */
  close(code: CloseCode, reason: string, why?: AppError): void {
    if (this.#ended) return;
    if (why !== undefined) this.#outbox.refuse(why, { to: null });
    this.#end(code);
    this.#options.socket.close(code, reason);
  }

  closed(): void {
    if (!this.#ended) this.#end(null);
  }

  #end(code: CloseCode | null): void {
    this.#ended = true;
    this.#subscriptions.end();
    this.#outbox.end();
    this.#options.onEnd(code);
  }

  /**
   * Counts a message. False: the connection is closed now.
   * @throws AppError limit.messages_per_second
   */
  #isInTime(): boolean {
    const taken = this.#takeMessage();
    if (taken === 'refuse') throw tooMany('messages a second');
    if (taken === 'end') this.close(4429, 'too many messages');
    return taken === 'take';
  }

  #handle(request: LiveRequest): void {
    switch (request.type) {
      case 'pong':
        break;
      case 'ping':
        this.#outbox.pong(request.message_id);
        break;
      case 'auth':
        this.#authenticating = (this.#authenticating ?? Promise.resolve()).then(() =>
          this.#authenticate(request),
        );
        break;
      case 'command':
      case 'cancel':
        this.#take(request);
    }
  }

  async #authenticate(request: Extract<LiveRequest, { type: 'auth' }>): Promise<void> {
    const to = request.message_id;
    const known = this.#identity;
    try {
      const identity = await this.#options.identify(request, this.#options.socket.address);
      if (known !== null) checkRenewal(known, identity);
      this.#identity = identity;
      const { id, project, expiresAt } = identity.principal;
      const until = expiresAt === null ? null : new Date(expiresAt).toISOString();
      this.#outbox.answer({ principal: id, project, expiresAt: until }, { to });
      if (known === null && !this.#ended) this.#subscribeToBound();
    } catch (error) {
      this.#outbox.refuse(error, { to });
      const { code } = toAppError(error);
      if (code === 'auth.unauthenticated') this.#options.measures.refusedLogin();
      if (known !== null) return;
      if (code === 'auth.unauthenticated') this.close(4401, 'the token is not valid');
      if (code === 'auth.too_many_attempts') this.close(4429, 'too many wrong tokens');
    }
  }

  /** Does a command after the earlier ones about the same target. */
  #take(request: ActingRequest): void {
    if (this.#identity === null && this.#authenticating === null) throw unauthenticated();
    if (this.#unanswered >= MAX_UNANSWERED) throw tooMany('unanswered commands; wait for answers');
    if (request.session_id !== undefined && request.job_id !== undefined)
      throw invalid([{ path: '/job_id', message: 'must not be given together with session_id' }]);
    this.#unanswered += 1;
    this.#inOrder(targetOf(request), async () => {
      await this.#do(request).catch((error: unknown) =>
        this.#outbox.refuse(error, { to: request.message_id, about: request }),
      );
      this.#unanswered -= 1;
    });
  }

  /** Closes the connection when the session of its address has been deleted. */
  #leaveIfGone(): void {
    const { bound, find } = this.#options;
    if (bound === null) return;
    this.#inOrder(targetOf({ session_id: bound.sessionId }), async () => {
      try {
        await find(this.#principal(), bound.sessionId);
      } catch (error) {
        if (toAppError(error).code === 'session.not_found') this.close(4404, 'the session was deleted');
      }
    });
  }

  #inOrder(target: string, work: () => Promise<void>): void {
    const done = (this.#work.get(target) ?? this.#authenticating ?? Promise.resolve()).then(work);
    this.#work.set(target, done);
    void done.then(() => {
      if (this.#work.get(target) === done) this.#work.delete(target);
    });
  }

  async #do(request: ActingRequest): Promise<void> {
    if (this.#ended) return;
    const principal = this.#principal();
    if (this.#identity?.only) checkTicket(this.#identity.only, request);
    const to = request.message_id;
    if (request.type === 'command' && request.data.command === 'subscribe') {
      await this.#subscriptions.subscribe(
        targetOf(request),
        principal,
        { ...request, data: request.data },
        to,
      );
    } else if (request.type === 'command' && request.data.command === 'unsubscribe') {
      this.#subscriptions.unsubscribe(targetOf(request));
      this.#outbox.answer({ command: 'unsubscribe' }, { to, about: request });
    } else {
      this.#outbox.answer(await this.#options.act(principal, request), { to, about: request });
    }
  }

  /**
   * The caller as it is now, with its address for the audit.
   * @throws AppError auth.unauthenticated, redis.unavailable
   */
  #principal(): Principal {
    const { address, requestId } = this.#options.socket;
    if (this.#identity === null) throw unauthenticated();
    const principal = this.#options.current(this.#identity.principal);
    if (principal === null)
      throw new AppError('auth.unauthenticated', 'the token of this connection is over');
    return { ...principal, origin: { address, requestId } };
  }

  /** Subscribes to the session of the address. */
  #subscribeToBound(): void {
    const { bound } = this.#options;
    if (bound === null) return;
    const { sessionId, after } = bound;
    const request: Subscribe = {
      ...{ type: 'command', message_id: ulid(), session_id: sessionId, data: { command: 'subscribe' } },
      ...(after !== null && { seq: after }),
    };
    this.#inOrder(targetOf(request), async () => {
      if (this.#ended) return;
      try {
        if (this.#identity?.only) checkTicket(this.#identity.only, request);
        await this.#subscriptions.subscribe(targetOf(request), this.#principal(), request, null);
      } catch (error) {
        this.#outbox.refuse(error, { to: null, about: request });
        const { code } = toAppError(error);
        if (code === 'session.not_found') this.close(4404, 'there is no such session');
        if (code === 'auth.forbidden') this.close(4403, 'the caller may not read the session');
      }
    });
  }
}

const unauthenticated = (): AppError => new AppError('auth.unauthenticated', 'send an auth message first');
const tooMany = (what: string): AppError =>
  new AppError('limit.messages_per_second', `the connection has too many ${what}`, { retryAfterSeconds: 1 });
