import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { createStreamWriter } from '../../../src/http/event-stream.ts';
import { dial } from './raw-socket.ts';

/** An answer whose reader does not read, and the reader. */
async function stalled() {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A server that listens on TCP has an address of this kind.
  const { port } = server.address() as AddressInfo;
  const reader = await dial(`http://127.0.0.1:${port}`);
  reader.pause();
  onTestFinished(() => {
    reader.destroy();
    server.close();
    server.closeAllConnections();
  });
  reader.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [, response]: [unknown, ServerResponse] = await once(server, 'request').then(([a, b]) => [a, b]);
  response.writeHead(200);
  return { reader, response };
}

const MEGABYTE = 'x'.repeat(1024 * 1024);

test('a write waits for its reader', async () => {
  const { reader, response } = await stalled();
  const writer = createStreamWriter(response);
  const written = writer.write(MEGABYTE.repeat(16)).then(() => 'written');
  expect(await Promise.race([written, Promise.resolve('waiting')])).toBe('waiting');
  const before = response.writableLength;
  writer.writeIfIdle('alive');
  expect(response.writableLength).toBe(before);
  reader.resume();
  expect(await written).toBe('written');
  expect(writer.cut).toBe(false);
});

test('a reader that stays far behind is cut', async () => {
  const { response } = await stalled();
  const writer = createStreamWriter(response, { maxBufferedBytes: 1024 * 1024, stalledMs: 10 });
  await writer.write(MEGABYTE.repeat(16));
  expect(writer.cut).toBe(true);
  expect(response.destroyed).toBe(true);
  await writer.write('more');
});

test('a reader that is a little behind is kept', async () => {
  const { reader, response } = await stalled();
  const checkedTwice = Promise.withResolvers<void>();
  let checks = 0;
  const writer = createStreamWriter(response, {
    stalledMs: 1,
    get maxBufferedBytes() {
      checks++;
      if (checks === 2) checkedTwice.resolve();
      return 64 * 1024 * 1024;
    },
  });
  const written = writer.write(MEGABYTE.repeat(16));
  await checkedTwice.promise;
  reader.resume();
  await written;
  expect(writer.cut).toBe(false);
});

test('a reader that leaves ends the wait', async () => {
  const { reader, response } = await stalled();
  const writer = createStreamWriter(response);
  const written = writer.write(MEGABYTE.repeat(16));
  reader.destroy();
  await written;
  expect(writer.cut).toBe(false);
});

test('texts reach the reader whole and in order', async () => {
  const { reader, response } = await stalled();
  const writer = createStreamWriter(response);
  const texts = ['räksmörgås', MEGABYTE.repeat(3), 'last'];
  const written = (async () => {
    for (const text of texts) await writer.write(text);
    response.end();
  })();
  const received: Buffer[] = [];
  reader.on('data', (chunk: Buffer) => received.push(chunk)).resume();
  while (!Buffer.concat(received).subarray(-5).equals(Buffer.from('0\r\n\r\n'))) await once(reader, 'data');
  await written;
  const answer = Buffer.concat(received);
  const chunks: string[] = [];
  for (let at = answer.indexOf('\r\n\r\n') + 4; ; ) {
    const end = answer.indexOf('\r\n', at);
    const size = Number.parseInt(answer.subarray(at, end).toString(), 16);
    if (size === 0) break;
    chunks.push(answer.subarray(end + 2, end + 2 + size).toString());
    at = end + 2 + size + 2;
  }
  expect(chunks.join('')).toBe(texts.join(''));
});
