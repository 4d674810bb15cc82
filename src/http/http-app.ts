import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';

/** The Fastify instance as Bullpen's routes see it: schemas give the types. */
export type HttpApp = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/**
 * Who may call a route: everybody, whoever has a token, only admins, or (`ticket`) also the holder of a stream
 * ticket for the job in the path.
 */
export type Access = 'public' | 'caller' | 'ticket' | 'admin';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A route that says nothing needs a token. */
    access?: Access;
    /** A page for people: without a login a browser is sent to the login page. */
    page?: boolean;
    /** What the route can answer, best first; default JSON. `*` = whatever. */
    produces?: readonly string[];
    /** Values and keys of a JSON body at the most; default MAX_JSON_ITEMS. */
    maxJsonItems?: number;
    /** Still answers while the server stops. */
    whileStopping?: boolean;
  }
  interface FastifyRequest {
    /** Who asks; null on public routes. */
    principal: Principal | null;
  }
  interface FastifyInstance {
    /** Refuses new requests; those under way go on, event streams and long polls too. Idempotent. */
    refuseNewRequests(): void;
    /** Refuses new requests and ends event streams and long polls; `close()` is the next step. Idempotent. */
    beginStopping(): void;
    /** Aborts at `beginStopping`. */
    readonly stopping: AbortSignal;
  }
}

/** Who asks, on a route that needs to know. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === null) throw new AppError('internal.error', 'a route without a principal');
  return request.principal;
}
