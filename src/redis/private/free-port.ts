import { createServer } from 'node:net';

/**
 * Below the ports the kernel hands to outgoing connections (32768 on Linux, 49152 on macOS): a client that
 * keeps reconnecting to a port of that range while its server is down may be given this very port as its
 * own, be connected to itself and hold the port.
 */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;
const MAX_TRIES = 100;

/** A port of the loopback interface on which nothing listens now; `wanted` ones are tried first, in order. */
export async function freeLoopbackPort(wanted: readonly number[] = []): Promise<number> {
  for (const port of wanted) {
    if (await isFree(port)) return port;
  }
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${FIRST_PORT} and ${LAST_PORT} on 127.0.0.1`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
