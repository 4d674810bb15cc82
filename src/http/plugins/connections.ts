import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpApp } from '../http-app.ts';

/** The open connections, and which answer each one is busy with. */
export interface Connections {
  /** The answer under way on a connection, null when it is between requests. */
  answering(socket: Socket): ServerResponse | null;
  /** Closes a connection when the answer under way is out. */
  closeAfterAnswer(socket: Socket): void;
}

/** How long `close()` waits for callers to take the answers under way. */
const CLOSE_GRACE_MS = 5_000;

/**
 * Lets `close()` end as soon as the last answer is out. Node closes connections that wait for another request,
 * but neither those that never sent one (a browser's spare connection) nor those whose answer began
 * before the close: these it would keep for their whole keep-alive time. Who does not take its answer within
 * `graceMs` of the close is cut.
 */
export function trackConnections(app: HttpApp, graceMs = CLOSE_GRACE_MS): Connections {
  const open = new Map<Socket, ServerResponse | null>();
  const last = new WeakSet<Socket>();
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
      if (closing || last.has(socket)) socket.destroySoon();
    });
  });
  app.addHook('preClose', async () => {
    closing = true;
    if (open.size === 0) return;
    grace = setTimeout(() => {
      for (const socket of open.keys()) socket.destroy();
    }, graceMs);
    for (const [socket, response] of open) if (response === null) socket.destroySoon();
  });
  return {
    answering: (socket) => open.get(socket) ?? null,
    closeAfterAnswer: (socket) => last.add(socket),
  };
}
