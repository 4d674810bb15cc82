/** A TCP proxy in front of Redis that can drop or hold back what passes. */
import { once } from 'node:events';
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';

export interface RedisProxy {
  readonly port: number;
  /** Closes every connection, and each new one, until `pass`. */
  drop(): void;
  /** Keeps every connection and lets nothing through until `pass`. */
  stall(): void;
  pass(): void;
  close(): Promise<void>;
}

/** @param target where the connections go */
export async function startProxy(target: NetConnectOpts): Promise<RedisProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let mode: 'pass' | 'drop' | 'stall' = 'pass';

  const join = ([near, far]: readonly [Socket, Socket]): void => {
    near.pipe(far);
    far.pipe(near);
  };
  const part = ([near, far]: readonly [Socket, Socket]): void => {
    near.unpipe(far).pause();
    far.unpipe(near).pause();
  };
  const server = createServer((near) => {
    if (mode === 'drop') {
      near.destroy();
      return;
    }
    const far = connect(target);
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const [socket, other] of [pair, [far, near] as const]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined); // 'close' follows
      socket.on('close', () => {
        other.destroy();
        pairs.delete(pair);
      });
    }
    if (mode === 'pass') join(pair);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');

  const cut = (): void => {
    for (const [near] of pairs) near.destroy();
  };
  return {
    port: address.port,
    drop() {
      mode = 'drop';
      cut();
    },
    stall() {
      if (mode !== 'pass') return;
      mode = 'stall';
      pairs.forEach(part);
    },
    pass() {
      const stalled = mode === 'stall';
      mode = 'pass';
      if (stalled) pairs.forEach(join);
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}
