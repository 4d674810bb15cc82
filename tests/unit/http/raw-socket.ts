import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A connection to a server whose bytes a test writes itself. */
export async function dial(serverUrl: string): Promise<Socket> {
  const { hostname, port } = new URL(serverUrl);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  // A server that cuts the connection is what many tests expect.
  socket.on('error', () => {});
  return socket;
}

/** All the server says until it closes. */
export async function untilClosed(socket: Socket): Promise<string> {
  let said = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    said += chunk;
  });
  await once(socket, 'close');
  return said;
}

/** Sends these lines and an empty one, and reads until the server closes. */
export async function rawRequest(serverUrl: string, lines: readonly string[], body = ''): Promise<string> {
  const socket = await dial(serverUrl);
  const said = untilClosed(socket);
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
  return said;
}

/** Status and problem of a raw answer. */
export function parseAnswer(answer: string): {
  status: number;
  head: string;
  problem: Record<string, unknown>;
} {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), head: head.toLowerCase(), problem: JSON.parse(body) };
}
