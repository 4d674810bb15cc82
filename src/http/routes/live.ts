import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from '#typebox';
import { AppError } from '../../errors.ts';
import type { BoundSession, LiveCore, LiveIdentity } from '../../live/ports.ts';
import { createSocketIo } from '../../live/socket-io.ts';
import { type AcceptUpgrade, createWebSockets, type Upgrade } from '../../live/websocket.ts';
import { ServerResponse } from '../../node-http.ts';
import { invalid } from '../../protocol/problem.ts';
import { closed } from '../../protocol/schema.ts';
import type { HttpApp } from '../http-app.ts';
import type { OwnNames } from '../own-names.ts';
import { SessionParams, sessionIdOf } from '../parameters.ts';
import type { Sessions } from '../session-ports.ts';

export interface LiveRoutesOptions {
  readonly live: LiveCore;
  readonly sessions: Pick<Sessions, 'get'>;
  readonly names: OwnNames;
  /** Origins of further pages that may connect. */
  readonly origins: readonly string[];
}

const ticket = Type.Optional(Type.String({ description: 'from POST /v1/stream-tokens' }));
const after = Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }));
const schema = { hide: true } as const;
const options = { exposeHeadRoute: false } as const;
const config = { access: 'caller', lateAuth: true, produces: ['*'] as readonly string[] } as const;

/**
 * The addresses of live connections. An upgrade goes through the same hooks as every request, so a
 * refused one gets a problem as its answer. docs/live.md describes what follows.
 */
export function liveRoutes(app: HttpApp, { live, sessions, names, origins }: LiveRoutesOptions): void {
  const allowed = new Set(origins.map((origin) => URL.parse(origin)?.origin ?? origin));
  const upgradeOf = routeUpgrades(app);
  app.stopping.addEventListener('abort', () => live.stop(), { once: true });

  // Loaded with the first connection: the start of the server must stay fast.
  const webSockets = once(() => createWebSockets(live));
  const socketIo = once(() => createSocketIo(live));

  /**
   * The upgrade of a request.
   * @throws AppError request.invalid for another request, auth.forbidden for another site's page
   */
  function checked(request: FastifyRequest): Upgrade {
    const upgrade = upgradeOf(request.raw);
    const { headers } = request;
    if (upgrade === null) throw badHeader('upgrade', 'must be websocket: this address is for connections');
    if (headers['sec-websocket-version'] !== '13') throw badHeader('sec-websocket-version', 'must be 13');
    if (!/^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? ''))
      throw badHeader('sec-websocket-key', 'must be 16 bytes in base64');
    const { origin } = headers;
    if (origin === undefined || allowed.has(origin) || names.isOwnPage(headers, false)) return upgrade;
    const detail = `pages of ${origin} may not connect; if they should, set BULLPEN_LIVE_ORIGINS`;
    throw new AppError('auth.forbidden', detail);
  }

  async function accept(
    load: () => Promise<AcceptUpgrade>,
    request: FastifyRequest,
    reply: FastifyReply,
    bound: BoundSession | null,
  ): Promise<void> {
    const upgrade = checked(request);
    const take = await load();
    takeSocket(request, reply);
    const { ip: address, id: requestId } = request;
    take(upgrade, { address, requestId, identity: identityOf(request), bound });
  }

  app.get(
    '/v1/live',
    {
      ...options,
      schema: { ...schema, querystring: Type.Object({ ticket }, closed) },
      config: { ...config, ticket: 'any' },
    },
    async (request, reply) => accept(webSockets, request, reply, null),
  );

  app.get(
    '/cli/session/:id/ws',
    {
      ...options,
      schema: { ...schema, params: SessionParams, querystring: Type.Object({ ticket, after }, closed) },
      config: { ...config, access: 'sessions:read', ticket: 'session' },
    },
    async (request, reply) => {
      const sessionId = sessionIdOf(request.params);
      checked(request);
      if (request.principal !== null) await sessions.get(request.principal, sessionId);
      return accept(webSockets, request, reply, { sessionId, after: request.query.after ?? null });
    },
  );

  app.route({
    method: ['GET', 'POST'],
    url: '/socket.io/',
    ...options,
    schema,
    config: { ...config, ticket: 'any' },
    handler: async (request, reply) => {
      // as: a schema would refuse what other versions of the client add
      const { EIO, transport, sid } = request.query as Readonly<Record<string, unknown>>;
      if (transport !== 'websocket' || sid !== undefined)
        throw invalid([
          { path: '/query/transport', message: 'must be websocket, from the first request on' },
        ]);
      if (EIO !== '4') throw invalid([{ path: '/query/EIO', message: 'must be 4: Socket.IO 3 or newer' }]);
      return accept(socketIo, request, reply, null);
    },
  });
}

function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | null = null;
  return () => {
    loaded ??= load();
    return loaded;
  };
}

const badHeader = (name: string, message: string): AppError =>
  invalid([{ path: `/headers/${name}`, message }]);

const identityOf = ({ principal, byTicket }: FastifyRequest): LiveIdentity | null =>
  principal === null ? null : { principal, only: byTicket };

/**
 * Sends upgrades through the routes. Returns how to find that of a request; null: it has none.
 */
function routeUpgrades(app: HttpApp): (request: IncomingMessage) => Upgrade | null {
  const upgrades = new WeakMap<IncomingMessage, Upgrade>();
  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // Node no longer listens to this socket.
    socket.on('error', () => socket.destroy());
    upgrades.set(request, { request, socket, head });
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once('finish', () => socket.destroySoon());
    app.routing(request, response);
  });
  return (request) => upgrades.get(request) ?? null;
}

/** Leaves the socket of a request to its new owner. */
function takeSocket(request: FastifyRequest, reply: FastifyReply): void {
  request.beginWaiting();
  reply.hijack();
  reply.raw.statusCode = 101; // for the log, which gets its line when the connection ends
}
