/** A client of live connections as a test writes one: it sends what it is given, and keeps all. */
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import type { LiveMessage } from '../../src/protocol/live.ts';
import { eventually } from './eventually.ts';

export const TRANSPORTS = ['websocket', 'socket.io'] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface DialOptions {
  readonly transport: Transport;
  readonly headers?: Readonly<Record<string, string>>;
  /** Of a WebSocket; default: `/v1/live`. */
  readonly path?: string;
  /** Socket.IO's `auth`. */
  readonly auth?: object;
}

/** What a test sends: it may be wrong. */
export interface Sent {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface LiveClient {
  /** Every message so far, in order. */
  readonly messages: LiveMessage[];
  /** Resolves with the code; over Socket.IO it is that of the last error. */
  readonly ended: Promise<number | null>;
  send(message: Sent): void;
  /** Text that is no message. */
  sendText(text: string | Buffer): void;
  /** Sends with an id of its own, and resolves with the answer. */
  ask(message: Sent): Promise<LiveMessage>;
  /** The first message that passes, also one that has come already. */
  find(passes: (message: LiveMessage) => boolean): Promise<LiveMessage>;
  /** Takes nothing from the network until `resume`. WebSocket only. */
  pause(): void;
  resume(): void;
  close(): void;
  [Symbol.dispose](): void;
}

let asked = 0;

/** Rejects with the answer of HTTP when the connection is refused. */
export async function dialLive(url: string, options: DialOptions): Promise<LiveClient> {
  const client = await (options.transport === 'websocket'
    ? byWebSocket(url, options)
    : bySocketIo(url, options));
  return {
    ...client,
    async ask(message) {
      asked += 1;
      const message_id = `ask-${asked}`;
      const before = client.messages.length;
      const id = message['message_id'] ?? message_id;
      client.send({ ...message, message_id: id });
      const isAnswer = ({ reply_to }: LiveMessage) => reply_to === id;
      return eventually(() => client.messages.slice(before).find(isAnswer) ?? null);
    },
    [Symbol.dispose]: client.close,
  };
}

type Bare = Omit<LiveClient, 'ask' | typeof Symbol.dispose>;

function byWebSocket(url: string, { path = '/v1/live', headers = {} }: DialOptions): Promise<Bare> {
  const { promise, resolve, reject } = Promise.withResolvers<Bare>();
  const ended = Promise.withResolvers<number | null>();
  const socket = new WebSocket(url.replace(/^http/, 'ws') + path, { headers });
  const messages: LiveMessage[] = [];
  // as: what the server sends, which the tests check
  socket.on('message', (data) => void messages.push(JSON.parse(String(data)) as LiveMessage));
  socket.on('close', (code) => ended.resolve(code));
  socket.on('unexpected-response', (_request, response) => {
    let body = '';
    response.on('data', (chunk) => {
      body += chunk;
    });
    response.on('end', () => reject(Object.assign(new Error(body), { status: response.statusCode })));
  });
  socket.on('error', reject);
  socket.on('open', () =>
    resolve({
      messages,
      ended: ended.promise,
      send: (message) => socket.send(JSON.stringify(message)),
      sendText: (text) => socket.send(text),
      find: (passes) => eventually(() => messages.find(passes) ?? null),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      close: () => socket.terminate(),
    }),
  );
  return promise;
}

function bySocketIo(url: string, { headers = {}, auth = {} }: DialOptions): Promise<Bare> {
  const { promise, resolve, reject } = Promise.withResolvers<Bare>();
  const ended = Promise.withResolvers<number | null>();
  const socket = io(url, {
    ...{ transports: ['websocket'], reconnection: false, forceNew: true, auth },
    extraHeaders: { ...headers },
  });
  const messages: LiveMessage[] = [];
  let code: number | null = null;
  socket.onAny((name: string, message: LiveMessage) => {
    messages.push(message);
    if (message.type !== name) throw new Error(`${message.type} came as ${name}`);
    if ('close' in message.data) code = Number(message.data.close);
  });
  socket.on('disconnect', () => ended.resolve(code));
  socket.on('connect_error', (error) => {
    socket.close();
    reject(error);
  });
  socket.on('connect', () =>
    resolve({
      messages,
      ended: ended.promise,
      send: ({ type, ...rest }) => void socket.emit(type, { type, ...rest }),
      sendText: (text) => void socket.emit('command', text),
      find: (passes) => eventually(() => messages.find(passes) ?? null),
      pause: () => {
        throw new Error('not over Socket.IO');
      },
      resume: () => undefined,
      close: () => void socket.close(),
    }),
  );
  return promise;
}
