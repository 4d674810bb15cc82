/** A proxy of TCP connections on loopback that a test can break. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TcpProxy extends AsyncDisposable {
  readonly url: string;
  /** Where new connections go; null: they are refused. */
  setTarget(port: number | null): void;
  /** Closes all connections without a word, as a network does that goes away. */
  cut(): void;
  /** While true, what the target sends stays in the proxy, and its connections stay open. */
  holdAnswers(held: boolean): void;
  /** Milliseconds that each part of an answer takes longer. */
  delayAnswers(ms: number): void;
  /** Connections that were opened so far. */
  readonly opened: number;
}

interface Pair {
  readonly caller: Socket;
  readonly target: Socket;
}

export async function startTcpProxy(): Promise<TcpProxy> {
  const pairs = new Set<Pair>();
  let held = false;
  let port: number | null = null;
  let delayMs = 0;
  let opened = 0;

  const server = createServer({ allowHalfOpen: false }, (caller) => {
    if (port === null) return void caller.resetAndDestroy();
    opened += 1;
    const pair = { caller, target: connect(port, '127.0.0.1') };
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      caller.destroy();
      pair.target.destroy();
    };
    for (const socket of [caller, pair.target]) socket.on('error', end).on('close', end);
    caller.on('data', (bytes) => void pair.target.write(bytes));
    pair.target.on('data', (bytes) => {
      if (delayMs === 0) caller.write(bytes);
      else setTimeout(() => caller.write(bytes), delayMs);
    });
    if (held) pair.target.pause();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const own = (server.address() as AddressInfo).port; // it listens on TCP

  return {
    url: `http://127.0.0.1:${own}`,
    get opened() {
      return opened;
    },
    setTarget(next) {
      port = next;
    },
    cut() {
      for (const { caller, target } of pairs) {
        caller.resetAndDestroy();
        target.resetAndDestroy();
      }
    },
    holdAnswers(hold) {
      held = hold;
      for (const { target } of pairs) hold ? target.pause() : target.resume();
    },
    delayAnswers(ms) {
      delayMs = ms;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const { caller, target } of pairs) {
        caller.destroy();
        target.destroy();
      }
    },
  };
}
