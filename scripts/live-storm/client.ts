/**
 * A client that reads one chat and one terminal, and sends commands to both. Its connections break
 * at random; each next one is to another server, over another transport, as chance has it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { SessionStoredEvent } from '../../src/protocol/event.ts';
import type { LiveCommand, LiveMessage, LiveRequest } from '../../src/protocol/live.ts';
import { type Connection, connect, TRANSPORTS } from './connection.ts';

/** The longest life of a connection, and the longest pause after it. */
const LIFE_MS = 3000;
const PAUSE_MS = 500;
/** A server that restarts answers after this at the latest. */
const RETRY_MS = 200;

export interface StormClient {
  readonly name: string;
  /** What it was given, in the order in which it came: of each session by its id. */
  readonly seen: ReadonlyMap<string, readonly SessionStoredEvent[]>;
  /** What no client may be given. */
  readonly faults: readonly string[];
  readonly connections: number;
  /** Ids of the commands without an answer, and over which transport the client waits for it. */
  readonly unanswered: readonly string[];
  /** Sends it now and after each reconnect, until it is answered. */
  ask(sessionId: string, messageId: string, data: LiveCommand): void;
  /** Breaks no connection any more. */
  calm(): void;
  stop(): Promise<void>;
}

export function startClient(options: {
  readonly name: string;
  readonly sessions: readonly string[];
  /** The address and token of a server that runs, chosen at random; null: none does. */
  server(): { readonly url: string; readonly token: string } | null;
  readonly random: () => number;
}): StormClient {
  const { name, sessions, random } = options;
  const seen = new Map<string, SessionStoredEvent[]>(sessions.map((id) => [id, []]));
  const waiting = new Map<string, LiveRequest>();
  const subscribes = new Set<string>();
  const faults: string[] = [];
  const stopping = new AbortController();
  let connection: Connection | null = null;
  let connections = 0;
  let isCalm = false;
  let breakOff = (): void => {};

  function receive(message: LiveMessage): void {
    const { type, reply_to: answered } = message;
    if (type === 'ping') {
      connection?.send({ type: 'pong', message_id: message.message_id });
    } else if (type === 'output') {
      take(message);
    } else if (type === 'error' && isPassing(message.data)) {
      breakOff(); // asked again over the next connection
    } else if (answered !== undefined) {
      if (type === 'error') faults.push(`${name}: ${answered} was refused: ${JSON.stringify(message.data)}`);
      if (!subscribes.delete(answered) && !waiting.delete(answered))
        faults.push(`${name}: a second answer to ${answered}`);
    }
  }

  /** A wrong number is a fault. A terminal's screen may skip what is no longer kept. */
  function take({ session_id: id = '', seq, data }: LiveMessage): void {
    const events = seen.get(id);
    const event = data as SessionStoredEvent; // the documented content of an output
    if (events === undefined || event.seq !== seq || event.sessionId !== id) {
      faults.push(`${name}: an event of another session: ${JSON.stringify(data).slice(0, 200)}`);
      return;
    }
    const last = events.at(-1)?.seq ?? null;
    const follows = event.kind === 'terminal.screen' ? seq > (last ?? 0) : seq === (last ?? 0) + 1;
    if (!follows) faults.push(`${name}: ${id} has ${seq} (${event.kind}) after ${last}`);
    events.push(event);
  }

  /** Subscribes after what it has, and sends again what has no answer. */
  function resume(to: Connection): void {
    for (const [id, events] of seen) {
      const messageId = `${name}-${connections}-${id}`;
      subscribes.add(messageId);
      const last = events.at(-1)?.seq;
      const seq = last === undefined ? {} : { seq: last };
      to.send({ type: 'command', message_id: messageId, session_id: id, ...seq, data: SUBSCRIBE });
    }
    for (const request of waiting.values()) to.send(request);
  }

  async function live(): Promise<void> {
    const server = options.server();
    if (server === null) return void (await delay(RETRY_MS));
    const closed = Promise.withResolvers<void>();
    const transport = TRANSPORTS[Math.floor(random() * TRANSPORTS.length)] ?? 'websocket';
    let mine: Connection | null = null;
    try {
      mine = await connect({
        ...{ transport, url: server.url, token: server.token },
        onMessage: (message) => {
          if (connection === mine || mine === null) receive(message);
        },
        onClose: () => closed.resolve(),
      });
    } catch {
      return void (await delay(RETRY_MS));
    }
    connections += 1;
    connection = mine;
    breakOff = closed.resolve;
    resume(mine);
    const life = setTimeout(() => isCalm || closed.resolve(), random() * LIFE_MS);
    if (stopping.signal.aborted) closed.resolve();
    await closed.promise;
    clearTimeout(life);
    connection = null;
    mine.drop();
    await delay(isCalm ? RETRY_MS : random() * PAUSE_MS);
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) await live();
  }
  const running = run();

  return {
    name,
    seen,
    faults,
    get connections() {
      return connections;
    },
    get unanswered() {
      return [...waiting.keys()].map((id) => `${name}: ${id} over ${connection?.transport}`);
    },
    ask(sessionId, messageId, data) {
      const request = { type: 'command' as const, message_id: messageId, session_id: sessionId, data };
      waiting.set(messageId, request);
      connection?.send(request);
    },
    calm() {
      isCalm = true;
    },
    async stop() {
      stopping.abort();
      breakOff();
      await running;
    },
  };
}

const SUBSCRIBE = { command: 'subscribe' } as const;

/** An error that says: again later. */
const isPassing = (data: object): boolean => 'status' in data && data.status === 503;
