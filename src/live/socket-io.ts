/** The Socket.IO transport: the name of an event is the type of the message, its only argument. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'socket.io';
import { createServer } from '../node-http.ts';
import { MAX_LIVE_BYTES } from '../protocol/live.ts';
import { encode } from './encoding.ts';
import type { LiveCore, LiveSocket } from './ports.ts';
import { type AcceptUpgrade, CLOSE_MS, type Handshake, STOP_MS, type Upgrade } from './websocket.ts';

/** Of Socket.IO itself around a message. */
const FRAME_BYTES = 64;
const CONNECT_MS = 10_000;
const MAX_PROTOCOL_PACKETS = 10;
/** The `message_id` of the `auth` that a client gives to Socket.IO instead of sending it. */
const HANDSHAKE_ID = 'handshake';

type Taken = Handshake & Pick<Upgrade, 'socket'>;

/** Loads `socket.io` and returns what takes over the connections of upgrades. */
export async function createSocketIo(core: LiveCore): Promise<AcceptUpgrade> {
  const { Server } = await import('socket.io');
  const handshakes = new WeakMap<IncomingMessage, Taken>();
  const io = new Server({
    transports: ['websocket'],
    allowUpgrades: false,
    serveClient: false,
    connectTimeout: CONNECT_MS,
    // One that is too large gets its close code; one of twice the size gets none.
    maxHttpBufferSize: 2 * MAX_LIVE_BYTES,
  });
  // It wants a server to listen to. This one gets no request; upgrades are given to the engine.
  io.attach(createServer());
  io.engine.on('connection', limitProtocol);
  io.on('connection', (socket) => {
    const handshake = handshakes.get(socket.request);
    if (handshake === undefined) socket.disconnect(true);
    else serve(core, socket, handshake);
  });
  return ({ request, socket, head }, handshake) => {
    handshakes.set(request, { ...handshake, socket });
    io.engine.handleUpgrade(request, socket, head);
  };
}

function serve(core: LiveCore, socket: Socket, handshake: Taken): void {
  const { address, requestId, identity, bound } = handshake;
  const live: LiveSocket = {
    ...{ transport: 'socket.io', address, requestId },
    send: (type, text, taken) => void socket.conn.write(eventOf(type, text), { compress: false }, taken),
    close(code, detail) {
      const message = encode({ type: 'error', data: { close: code, detail } });
      socket.conn.write(eventOf('error', message), { compress: false });
      socket.disconnect(true);
      const timer = setTimeout(() => handshake.socket.destroy(), code === 1001 ? STOP_MS : CLOSE_MS);
      handshake.socket.once('close', () => clearTimeout(timer));
    },
  };
  const connection = core.accept(live, identity, bound);
  socket.conn.on('packet', ({ data }: { readonly data?: unknown }) => {
    if (typeof data === 'string' && Buffer.byteLength(data) > MAX_LIVE_BYTES + FRAME_BYTES)
      connection.refuse('too_large');
  });
  // Without `next` Socket.IO does nothing with an event: one called `error` would throw.
  socket.use(([type, message]) => {
    // Of a binary event it may be bytes, each of which would become a field.
    const isBytes = ArrayBuffer.isView(message) || Array.isArray(message);
    const isObject = typeof message === 'object' && message !== null && !isBytes;
    if (isObject && (message.type ?? type) === type) connection.receive({ ...message, type });
    else connection.refuse('malformed');
  });
  // A packet that breaks the protocol: Socket.IO ends the connection by itself.
  socket.on('error', () => undefined);
  socket.on('disconnect', () => {
    connection.closed();
    socket.conn.close(); // a client may leave Socket.IO only, and would no longer be counted
  });
  const { token, ticket } = socket.handshake.auth;
  if (identity !== null || (token === undefined && ticket === undefined)) return;
  const data = { ...(token !== undefined && { token }), ...(ticket !== undefined && { ticket }) };
  connection.receive({ type: 'auth', message_id: HANDSHAKE_ID, data });
}

/**
 * Cuts a connection that sends more than a few packets which are no events: connects, disconnects
 * and acknowledgements. No other limit counts them, and the answers to some would fill the memory
 * of a client that does not read.
 */
function limitProtocol(conn: Socket['conn']): void {
  let count = 0;
  conn.on('packet', ({ data }: { readonly data?: unknown }) => {
    if (typeof data !== 'string' || /^[25]/.test(data)) return; // events, with and without bytes
    count += 1;
    if (count > MAX_PROTOCOL_PACKETS) conn.close(true);
  });
}

/** A packet of Socket.IO, made once for all readers of a message. */
const packets = new WeakMap<Buffer, string>();

function eventOf(type: string, text: Buffer): string {
  const known = packets.get(text) ?? `2["${type}",${text.toString()}]`;
  packets.set(text, known);
  return known;
}
