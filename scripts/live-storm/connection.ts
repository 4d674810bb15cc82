/** One live connection as docs/live.md describes it, over either transport. It never reconnects. */
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import type { LiveMessage, LiveRequest } from '../../src/protocol/live.ts';

export const TRANSPORTS = ['websocket', 'socket.io'] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface ConnectOptions {
  readonly transport: Transport;
  /** Of the server, `http://…`. */
  readonly url: string;
  /** Null: the handshake has none, and an `auth` message must follow. */
  readonly token: string | null;
  onMessage(message: LiveMessage): void;
  /** Called once. Over Socket.IO, and when the connection is simply lost, the code is 1006. */
  onClose(code: number): void;
}

export interface Connection {
  readonly transport: Transport;
  send(message: LiveRequest): void;
  /** Ends it at once, as a lost network does. */
  drop(): void;
}

/** @throws when it cannot be made */
export const connect = (options: ConnectOptions): Promise<Connection> =>
  options.transport === 'websocket' ? overWebSocket(options) : overSocketIo(options);

const LOST = 1006;
const headersWith = (token: string | null): Record<string, string> =>
  token === null ? {} : { authorization: `Bearer ${token}` };

async function overWebSocket({ url, token, onMessage, onClose }: ConnectOptions): Promise<Connection> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/live`, { headers: headersWith(token) });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on('open', resolve).on('error', reject);
  socket.on('message', (data) => onMessage(JSON.parse(String(data))));
  await promise;
  socket.on('close', onClose);
  return {
    transport: 'websocket',
    send: (message) => socket.send(JSON.stringify(message), () => undefined), // it may be lost already
    drop: () => socket.terminate(),
  };
}

async function overSocketIo({ url, token, onMessage, onClose }: ConnectOptions): Promise<Connection> {
  const socket = io(url, {
    transports: ['websocket'],
    reconnection: false,
    forceNew: true,
    extraHeaders: headersWith(token),
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on('connect', resolve).on('connect_error', reject);
  // A server that dies between the handshake and `connect` causes neither of the two.
  socket.io.on('close', (reason) => reject(new Error(reason)));
  socket.onAny((_type, message) => onMessage(message));
  await promise;
  socket.on('disconnect', () => onClose(LOST));
  return {
    transport: 'socket.io',
    send: (message) => void socket.emit(message.type, message),
    drop: () => socket.io.engine.close(),
  };
}
