/** `client.live()` over real sockets that break at random points. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { createClient } from '../../../src/client/client.ts';
import type { LiveRequest } from '../../../src/protocol/live.ts';
import { random } from '../../helpers/random.ts';

const SESSION = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';
const EVENTS = 300;
const COMMANDS = 200;

/**
 * A server with one session, which remembers the ids of its commands as the real one does. It cuts
 * a connection before or after it has taken, done or answered a message, or sent an event.
 */
async function startCuttingServer(seed: number) {
  const chance = random(seed);
  const done: string[] = [];
  const known = new Set<string>();
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  onTestFinished(
    () =>
      new Promise((resolve) => {
        for (const socket of server.clients) socket.terminate();
        server.close(() => resolve());
      }),
  );
  let connections = 0;
  let published = 0;
  const readers = new Map<WebSocket, number>();

  const say = (socket: WebSocket, message: object): void =>
    socket.send(JSON.stringify({ timestamp: '', message_id: 's', data: {}, ...message }));
  /**
   * Sometimes ends the connection, with a close or as a network that is gone. What comes on it
   * after that is not read.
   */
  function mayCut(socket: WebSocket): boolean {
    if (chance() > 0.02) return false;
    readers.delete(socket);
    if (chance() > 0.5) socket.terminate();
    else socket.close(chance() > 0.5 ? 1001 : 4409);
    return true;
  }
  function serve(socket: WebSocket): void {
    for (let seq = readers.get(socket) ?? EVENTS; seq < published; ) {
      seq += 1;
      const data = { seq, sessionId: SESSION, at: '', kind: 'terminal.output', offset: seq, data: '' };
      readers.set(socket, seq);
      say(socket, { type: 'output', session_id: SESSION, seq, data });
      if (mayCut(socket)) return;
    }
  }
  function act(socket: WebSocket, message: LiveRequest): void {
    const answer = { type: 'status', reply_to: message.message_id };
    if (message.type === 'command' && message.data.command === 'subscribe') {
      say(socket, answer);
      readers.set(socket, message.seq ?? 0);
      serve(socket);
      return;
    }
    if (message.type === 'command' && message.data.command === 'input') {
      if (!known.has(message.message_id)) done.push(message.data.data);
      known.add(message.message_id);
      published = Math.min(EVENTS, published + Math.ceil((2 * EVENTS) / COMMANDS));
      for (const reader of [...readers.keys()]) serve(reader);
    }
    if (!mayCut(socket)) say(socket, answer);
  }
  server.on('connection', (socket) => {
    connections += 1;
    socket.on('close', () => readers.delete(socket));
    socket.on('message', (data) => {
      if (socket.readyState === socket.OPEN && !mayCut(socket)) act(socket, JSON.parse(String(data)));
    });
  });
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    url: `http://127.0.0.1:${port}`,
    done,
    get connections() {
      return connections;
    },
  };
}

describe('client.live() over a connection that breaks at random points', () => {
  it.each([1, 2, 3])(
    'acts once on each command, in order, and yields each event once (seed %i)',
    async (seed) => {
      const server = await startCuttingServer(seed);
      const client = createClient({ url: server.url, token: 't', resumeDelaysMs: [1] });
      const live = client.live();
      onTestFinished(() => live.close());
      const seqs: number[] = [];
      const reading = (async () => {
        for await (const { seq } of live.session(SESSION)) if (seqs.push(seq) === EVENTS) return;
      })();
      const commands = Array.from({ length: COMMANDS }, (_, at) => `${at}`);
      await Promise.all(commands.map((data) => live.input(SESSION, data)));
      await reading;
      expect(server.done).toEqual(commands);
      expect(seqs).toEqual(Array.from({ length: EVENTS }, (_, at) => at + 1));
      expect(server.connections).toBeGreaterThan(1);
    },
  );
});
