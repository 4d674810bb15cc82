/** The WebSocket transport: one text frame is one message. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RawData } from 'ws';
import { MAX_LIVE_BYTES } from '../protocol/live.ts';
import { MAX_UNSENT_BYTES } from './outbox.ts';
import type { BoundSession, LiveCore, LiveIdentity, LiveSocket } from './ports.ts';

/** A request for an upgrade, as Node gives it. */
export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** Who asks for it, and for what. */
export interface Handshake {
  readonly address: string;
  readonly requestId: string;
  readonly identity: LiveIdentity | null;
  readonly bound: BoundSession | null;
}

/** How long a client may take to answer a close, before its connection is cut. */
export const CLOSE_MS = 5_000;
export const STOP_MS = 500;
/** What `ws` closes with when a message is too large. */
const TOO_BIG = 1009;

export type AcceptUpgrade = (upgrade: Upgrade, handshake: Handshake) => void;

/** Loads `ws` and returns what takes over the connections of upgrades. */
export async function createWebSockets(core: LiveCore): Promise<AcceptUpgrade> {
  const { WebSocket, WebSocketServer } = await import('ws');

  class LiveWebSocket extends WebSocket {
    override close(code?: number, reason?: string | Buffer): void {
      super.close(code === TOO_BIG ? 4413 : code, reason);
    }
  }
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    autoPong: false,
    perMessageDeflate: false,
    maxPayload: MAX_LIVE_BYTES,
    WebSocket: LiveWebSocket,
  });

  return ({ request, socket, head }, { address, requestId, identity, bound }) => {
    server.handleUpgrade(request, socket, head, (client) => {
      const live: LiveSocket = {
        ...{ transport: 'websocket', address, requestId },
        send: (_type, text, taken) => client.send(text, { binary: false }, taken),
        close(code, reason) {
          client.close(code, reason);
          const timer = setTimeout(() => client.terminate(), code === 1001 ? STOP_MS : CLOSE_MS);
          client.once('close', () => clearTimeout(timer));
        },
      };
      const connection = core.accept(live, identity, bound);
      client.on('message', (data, isBinary) => {
        const message = isBinary ? undefined : parsed(data);
        if (message === undefined) connection.refuse('malformed');
        else connection.receive(message);
      });
      // The control frame. Who sends it and reads nothing would fill the memory.
      client.on('ping', (data) => {
        if (client.bufferedAmount < MAX_UNSENT_BYTES) client.pong(data);
      });
      // A frame that breaks the protocol: `ws` closes the connection by itself.
      client.on('error', () => undefined);
      client.on('close', () => connection.closed());
    });
  };
}

/** The JSON of a message; undefined: it is none. */
function parsed(data: RawData): unknown {
  try {
    return JSON.parse(data.toString());
  } catch {
    return undefined;
  }
}
