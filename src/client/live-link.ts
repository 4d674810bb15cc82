/**
 * One WebSocket to the server, opened again whenever it breaks. Questions without an answer are
 * kept, and sent again in their order.
 */
import type { LiveMessage, LiveRequest } from '../protocol/live.ts';
import { randomId } from './calls.ts';
import { ApiError, apiErrorIn, mayResume, UnreachableError } from './errors.ts';
import type { StreamOptions } from './events.ts';

/**
 * How a connection authenticates: a key or a JWT, or a ticket of `POST /v1/stream-tokens`. Null: by
 * the login cookie, which the browser sends.
 */
export type LiveAuth = { readonly token: string } | { readonly ticket: string } | null;

export type LiveStatus =
  | { readonly state: 'connected' }
  /** The connection is lost, or could not be made; the next try follows. */
  | { readonly state: 'reconnecting'; readonly error: Error }
  /** Nothing follows. `error`: null when the caller closed it. */
  | { readonly state: 'ended'; readonly error: Error | null };

export interface LiveOptions extends Pick<StreamOptions, 'url' | 'sleep' | 'resumeDelaysMs' | 'silenceMs'> {
  /** Called for each connection, so that it can give a new ticket, or a token that was renewed. */
  auth(): LiveAuth | Promise<LiveAuth>;
  /** The longest time without a connection; then everything fails. Infinity: it never gives up. */
  readonly patienceMs: number;
  onStatus(status: LiveStatus): void;
  openSocket(url: string): Pick<WebSocket, 'send' | 'close' | 'addEventListener'>;
}

type Socket = ReturnType<LiveOptions['openSocket']>;

/** A message of the client without its id. */
type Unnamed<Request> = Request extends LiveRequest ? Omit<Request, 'message_id'> : never;
export type Question = Unnamed<Extract<LiveRequest, { type: 'command' | 'cancel' }>>;

export interface Link {
  /**
   * Resolves with the data of the answer. The question is sent again, with the same id, on each
   * connection until it has one.
   * @throws ApiError, the answer; UnreachableError when the link has ended, or too many wait
   */
  ask(question: Question): Promise<object>;
  /** Sends once, on the connection that is there. Returns the message's id; null: there is none. */
  tell(question: Question): string | null;
  close(): void;
}

export interface LinkHandlers {
  /** A connection is authenticated. Called before the questions are sent again. */
  onConnected(): void;
  /** A message that answers no question, with its length. */
  onMessage(message: LiveMessage, length: number): void;
  onEnd(error: Error | null): void;
}

/** Most questions without an answer. */
export const MAX_WAITING = 1000;
/** Most of them on their way at once. The server takes 100. */
const MAX_ON_THE_WAY = 64;
/** Less than the server takes by default: 100 a second, and 1,000 at once. */
const PER_SECOND = 80;
const AT_ONCE = 800;
/** The server takes no longer message. */
const MAX_MESSAGE_BYTES = 64 * 1024;

/** After these the server would refuse the next connection, too. */
const REFUSALS: Readonly<Record<number, { readonly status: number; readonly code: string }>> = {
  4401: { status: 401, code: 'auth.unauthenticated' },
  4403: { status: 403, code: 'auth.forbidden' },
  4404: { status: 404, code: 'session.not_found' },
};

interface Waiting {
  readonly text: string;
  /** On the present connection. */
  sent: boolean;
  resolve(data: object): void;
  reject(error: Error): void;
}

/** How a connection has ended. */
interface End {
  readonly error: Error;
  readonly wasConnected: boolean;
  /** Another try would end in the same way. */
  readonly final: boolean;
}

export function createLink(options: LiveOptions, handlers: LinkHandlers): Link {
  const stop = new AbortController();
  const waiting = new Map<string, Waiting>();
  /** How many may be sent at once, as it was at a time. */
  const room = { left: AT_ONCE, at: 0 };
  let willFlush = false;
  /** Authenticated. */
  let connected: Socket | null = null;
  let ended: { readonly error: Error } | null = null;
  let breakOff = (): void => {};

  function finish(error: Error | null): void {
    if (ended !== null) return;
    ended = { error: error ?? new UnreachableError(options.url, new Error('the live connection is closed')) };
    stop.abort();
    breakOff();
    for (const { reject } of waiting.values()) reject(ended.error);
    waiting.clear();
    handlers.onEnd(error);
    options.onStatus({ state: 'ended', error });
  }

  async function keepConnected(): Promise<void> {
    let since = performance.now();
    for (let tries = 0; ended === null; tries += 1) {
      const { error, wasConnected, final } = await connect();
      if (ended !== null) return;
      if (wasConnected) [tries, since] = [0, performance.now()];
      if (final || performance.now() - since >= options.patienceMs) return finish(error);
      options.onStatus({ state: 'reconnecting', error });
      await options.sleep(delayOf(tries), stop.signal).catch(() => {}); // the link was closed
    }
  }

  /** The planned wait, or up to half of it less: clients of a restarted server come one by one. */
  function delayOf(tries: number): number {
    const delays = options.resumeDelaysMs;
    return (delays[Math.min(tries, delays.length - 1)] ?? 0) * (1 - Math.random() / 2);
  }

  /** Opens a connection, and resolves when it has ended. */
  async function connect(): Promise<End> {
    let auth: LiveAuth;
    try {
      auth = await options.auth();
    } catch (error) {
      const why = error instanceof Error ? error : new Error(String(error));
      return { error: why, wasConnected: false, final: !mayResume(why) };
    }
    if (ended !== null) return { error: ended.error, wasConnected: false, final: true };
    const { promise, resolve } = Promise.withResolvers<End>();
    const socket = options.openSocket(`${options.url.replace(/^http/, 'ws').replace(/\/+$/, '')}/v1/live`);
    const authId = randomId();
    let refusal: Error | null = null;
    let heardAt = performance.now();
    let wasConnected = false;

    const leave = (error: Error, final: boolean): void => {
      clearInterval(watch);
      breakOff = () => {};
      connected = null;
      for (const one of waiting.values()) one.sent = false;
      socket.close();
      resolve({ error, wasConnected, final });
    };
    const lost = (cause: unknown): void => leave(new UnreachableError(options.url, cause), false);
    breakOff = () => lost(new Error('the live connection is closed'));
    // The server pings every 25 s, so a connection that is silent for longer is dead.
    const watch = setInterval(() => {
      const silent = performance.now() - heardAt >= options.silenceMs;
      if (silent) lost(new Error(`no data came for ${options.silenceMs} ms`));
    }, options.silenceMs / 4);

    const begin = (): void => {
      wasConnected = true;
      connected = socket;
      options.onStatus({ state: 'connected' });
      handlers.onConnected();
      flush();
    };
    const isPresent = (): boolean => breakOff === present;
    const present = breakOff;
    socket.addEventListener('open', () => {
      if (!isPresent()) return;
      if (auth === null) begin();
      else socket.send(JSON.stringify({ type: 'auth', message_id: authId, data: auth }));
    });
    socket.addEventListener('error', (event) => {
      const cause = 'error' in event ? event.error : null;
      if (isPresent()) lost(cause ?? new Error('the connection failed'));
    });
    socket.addEventListener('close', ({ code, reason }) => {
      if (!isPresent()) return;
      const meant = REFUSALS[code];
      const why = `the connection was closed (${code}${reason === '' ? '' : `: ${reason}`})`;
      if (meant === undefined) lost(refusal ?? new Error(why));
      // A token that has ended while the connection lived may have a successor.
      else leave(refusal ?? new ApiError({ ...meant, detail: why }), code !== 4401 || !wasConnected);
    });
    socket.addEventListener('message', ({ data }) => {
      if (!isPresent()) return;
      heardAt = performance.now();
      const message = messageIn(data);
      if (message === null) return lost(new Error('the server sent no message of Bullpen'));
      if (message.type === 'ping')
        return socket.send(
          JSON.stringify({ type: 'pong', message_id: randomId(), reply_to: message.message_id }),
        );
      if (message.reply_to !== authId) {
        if (message.type === 'error' && isAboutAll(message)) refusal = apiErrorIn(message.data);
        return receive(message, String(data).length);
      }
      if (message.type === 'error') {
        const error = apiErrorIn(message.data);
        return leave(error, !mayResume(error));
      }
      begin();
    });
    return promise;
  }

  function receive(message: LiveMessage, length: number): void {
    const question = waiting.get(message.reply_to ?? '');
    if (question === undefined) {
      handlers.onMessage(message, length);
      return;
    }
    waiting.delete(message.reply_to ?? '');
    if (message.type === 'error') question.reject(apiErrorIn(message.data));
    else question.resolve(message.data);
    flush();
  }

  /** Sends what waits, in order, as far as there is room. */
  function flush(): void {
    willFlush = false;
    let onTheWay = 0;
    for (const one of waiting.values()) {
      if (connected === null || onTheWay >= MAX_ON_THE_WAY) return;
      onTheWay += 1;
      if (one.sent) continue;
      if (!takeRoom()) {
        if (!willFlush) setTimeout(flush, 1000 / PER_SECOND);
        willFlush = true;
        return;
      }
      one.sent = true;
      connected.send(one.text);
    }
  }

  function takeRoom(): boolean {
    const now = performance.now();
    room.left = Math.min(AT_ONCE, room.left + ((now - room.at) / 1000) * PER_SECOND);
    room.at = now;
    if (room.left < 1) return false;
    room.left -= 1;
    return true;
  }

  void keepConnected();
  return {
    async ask(question) {
      if (ended !== null) throw ended.error;
      if (waiting.size >= MAX_WAITING)
        throw new UnreachableError(options.url, new Error(`${MAX_WAITING} messages wait for an answer`));
      const messageId = randomId();
      const text = JSON.stringify({ ...question, message_id: messageId });
      const bytes = new TextEncoder().encode(text).length;
      if (bytes > MAX_MESSAGE_BYTES) {
        const detail = `the message has ${bytes} bytes; the most is ${MAX_MESSAGE_BYTES}`;
        throw new ApiError({ status: 413, code: 'request.too_large', detail });
      }
      const { promise, resolve, reject } = Promise.withResolvers<object>();
      waiting.set(messageId, { text, sent: false, resolve, reject });
      flush();
      return promise;
    },
    tell(question) {
      if (connected === null) return null;
      const messageId = randomId();
      connected.send(JSON.stringify({ ...question, message_id: messageId }));
      return messageId;
    },
    close: () => finish(null),
  };
}

const isAboutAll = ({ reply_to, session_id, job_id }: LiveMessage): boolean =>
  (reply_to ?? session_id ?? job_id) === undefined;

/** A message of the server; null for anything else. */
function messageIn(data: unknown): LiveMessage | null {
  try {
    const message: unknown = typeof data === 'string' ? JSON.parse(data) : null;
    const isMessage =
      typeof message === 'object' &&
      message !== null &&
      'type' in message &&
      'data' in message &&
      typeof message.data === 'object' &&
      message.data !== null;
    return isMessage ? (message as LiveMessage) : null; // a documented message; unknown types pass
  } catch {
    return null;
  }
}
