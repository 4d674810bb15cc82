import { connect } from 'node:net';
import { REDIS_USER } from './server-files.ts';

/**
 * One AUTH and PING over a connection of its own.
 *
 * @returns `pong`, or `loading` while the server reads its data
 * @throws when it refuses, answers something else or stays silent for `timeoutMs`
 */
export function pingServer(port: number, password: string, timeoutMs: number): Promise<'pong' | 'loading'> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    let received = '';
    socket.setEncoding('latin1');
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('Redis does not answer')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('Redis closed the connection')));
    socket.on('connect', () => socket.write(`AUTH ${REDIS_USER} ${password}\r\nPING\r\n`));
    socket.on('data', (chunk: string) => {
      received += chunk;
      const answers = received.split('\r\n').slice(0, -1);
      const refusal = answers.find((line) => line.startsWith('-'));
      if (refusal?.startsWith('-LOADING')) resolve('loading');
      else if (refusal !== undefined) reject(new Error(`Redis answered ${refusal.slice(1)}`));
      else if (answers.length < 2) return;
      else if (answers[1] === '+PONG') resolve('pong');
      else reject(new Error('Redis answered PING with something else'));
      socket.end();
    });
  });
}
