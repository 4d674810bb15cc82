import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { Principal } from '../auth/principal.ts';
import type { StreamTicket, TicketFor } from '../auth/signed-values.ts';
import { AppError } from '../errors.ts';
import type { Scope } from '../protocol/key.ts';

/** The Fastify instance that routes are added to. Schemas give the types of requests. */
export type HttpApp = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** Who may call a route: everyone, every caller with a token, or those with a scope. */
export type Access = 'public' | 'caller' | Scope;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Default: as `ACCESS` says; else `admin`. */
    access?: Access;
    /** Whose stream ticket is as good as a token: of the job, or the session, in the path. */
    ticket?: TicketFor | 'any';
    /** A caller may come without a token, and send one later. */
    lateAuth?: boolean;
    /** A page for people: a browser without a login is sent to the login page. */
    page?: boolean;
    /** The content types of the answer, best first; default JSON. `*`: any. */
    produces?: readonly string[];
    /** The most values and keys of a JSON body; default MAX_JSON_ITEMS. */
    maxJsonItems?: number;
    /** Whether the route answers while the server stops. */
    whileStopping?: boolean;
  }
  interface FastifyRequest {
    /** The authenticated caller; null on public routes. */
    principal: Principal | null;
    /** What the caller came with a ticket for; null: it came otherwise. */
    byTicket: Pick<StreamTicket, 'noun' | 'id'> | null;
    /** Whether the caller may still do what the request asks for; false after a revocation. */
    isStillAllowed(): boolean;
    /** From now on the request only waits for something, so it does not count as work. */
    beginWaiting(): void;
  }
  interface FastifyInstance {
    /** Refuses new requests; those under way go on, including streams. Idempotent. */
    refuseNewRequests(): void;
    /** Refuses new requests and ends streams and long polls. Idempotent. */
    beginStopping(): void;
    /** Aborts at `beginStopping`. */
    readonly stopping: AbortSignal;
  }
}

/** The authenticated caller. @throws AppError internal.error on a public route */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw new AppError('internal.error', 'a route without a principal');
  return request.principal;
}

/** Bounds how long a revoked key goes on reading a stream. */
const CHECK_CALLER_MS = 2000;

/** Acts when the answer is sent or the caller has left; at once, if that has happened already. */
export function onClosed({ raw }: FastifyReply, act: () => void): void {
  if (raw.destroyed) act();
  else raw.once('close', act);
}

/**
 * A signal that aborts when the caller has left, the answer is sent, or the server stops. Also
 * removes the limit on silence from the connection, because a long poll or a quiet stream is silent
 * on purpose.
 */
export function untilLeft(request: FastifyRequest, reply: FastifyReply, stopping: AbortSignal): AbortSignal {
  const left = new AbortController();
  onClosed(reply, () => left.abort());
  // Node sets the limit again for the next request of the connection.
  if (request.raw.socket instanceof Socket) request.raw.socket.setTimeout(0);
  return AbortSignal.any([left.signal, stopping]);
}

/** As {@link untilLeft}; also aborts when the caller may no longer read. */
export function untilGone(request: FastifyRequest, reply: FastifyReply, stopping: AbortSignal): AbortSignal {
  request.beginWaiting();
  const refused = new AbortController();
  const timer = setInterval(() => {
    if (!request.isStillAllowed()) refused.abort();
  }, CHECK_CALLER_MS).unref();
  onClosed(reply, () => clearInterval(timer));
  return AbortSignal.any([refused.signal, untilLeft(request, reply, stopping)]);
}

/**
 * The parts of an answer that is made at the pace of its reader, which is no work of the server.
 * @throws AppError auth.forbidden, server.stopping: then the answer breaks off, because one that
 *   ends as usual would look whole
 */
export async function* whileAllowed<Part>(
  request: FastifyRequest,
  stopping: AbortSignal,
  parts: AsyncIterable<Part>,
): AsyncGenerator<Part> {
  request.beginWaiting();
  for await (const part of parts) {
    if (stopping.aborted) throw new AppError('server.stopping', 'the server is stopping');
    if (!request.isStillAllowed()) throw new AppError('auth.forbidden', 'the caller may no longer read this');
    yield part;
  }
}

/** The raw response with the headers set so far, for a route that writes the answer itself. */
export function takeOver(reply: FastifyReply): ServerResponse {
  reply.hijack();
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value);
  }
  return reply.raw;
}
