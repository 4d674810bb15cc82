import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { AppError } from '../errors.ts';
import type { HttpApp } from './http-app.ts';

const RETRY_AFTER_SECONDS = 5;
/** How long `close()` waits for callers to read the answers under way. */
const CLOSE_GRACE_MS = 5_000;

/**
 * Adds the two steps of a stop. `refuseNewRequests()` answers new requests with 503, while streams
 * go on with the jobs that still run. `beginStopping()` also ends streams and long polls. `close()`
 * does both.
 */
export function stopping(app: HttpApp): void {
  const controller = new AbortController();
  let refusing = false;
  const refuse = (): void => {
    refusing = true;
  };
  const stop = (): void => {
    refuse();
    controller.abort();
  };
  app.decorate('stopping', controller.signal);
  app.decorate('refuseNewRequests', refuse);
  app.decorate('beginStopping', stop);

  app.addHook('onRequest', async (request, reply) => {
    if (!refusing) return;
    reply.header('connection', 'close');
    if (request.routeOptions.config.whileStopping === true) return;
    throw new AppError('server.stopping', 'the server is stopping; ask again in a moment', {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  });
  app.addHook('preClose', async () => stop());
}

/** The open connections, each with its answer under way. */
export interface Connections {
  /** The answer under way on a connection; null between requests. */
  answering(socket: Socket): ServerResponse | null;
  /** Closes a connection when the answer under way is sent. */
  closeAfterAnswer(socket: Socket): void;
}

/**
 * Lets `close()` end as soon as the last answer is sent. Node closes connections between two
 * requests. It keeps two kinds for their whole keep-alive time: those that have sent no request (a
 * browser's spare connection), and those whose answer began before the close. This closes both.
 * Callers that have not read their answer `graceMs` after the close are cut.
 */
export function trackConnections(app: HttpApp, graceMs = CLOSE_GRACE_MS): Connections {
  const open = new Map<Socket, ServerResponse | null>();
  const closeAfter = new WeakSet<Socket>();
  /** Sockets of live connections, which end by their own close. */
  const upgraded = new WeakSet<Socket>();
  let closing = false;
  let grace: NodeJS.Timeout | undefined;

  app.server.on('connection', (socket: Socket) => {
    open.set(socket, null);
    socket.once('close', () => {
      open.delete(socket);
      if (open.size === 0) clearTimeout(grace);
    });
  });
  app.server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    open.set(socket, response);
    response.once('close', () => {
      if (open.get(socket) !== response) return;
      open.set(socket, null);
      if (closing || closeAfter.has(socket)) socket.destroySoon();
    });
  });
  app.server.on('upgrade', (_request: IncomingMessage, socket: Socket) => upgraded.add(socket));
  app.addHook('preClose', async () => {
    closing = true;
    if (open.size === 0) return;
    grace = setTimeout(() => {
      for (const socket of open.keys()) socket.destroy();
    }, graceMs);
    for (const [socket, response] of open)
      if (response === null && !upgraded.has(socket)) socket.destroySoon();
  });
  return {
    answering: (socket) => open.get(socket) ?? null,
    closeAfterAnswer: (socket) => closeAfter.add(socket),
  };
}
