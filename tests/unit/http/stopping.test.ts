import { once } from 'node:events';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify from 'fastify';
import { expect, test } from 'vitest';
import type { HttpApp } from '../../../src/http/http-app.ts';
import { trackConnections } from '../../../src/http/shutdown.ts';
import { asCaller, startHttp } from './harness.ts';
import { dial, parseAnswer, rawRequest, untilClosed } from './raw-socket.ts';
import { readStream } from './stream-reader.ts';

test('while it stops, new requests are 503 with Connection: close, only /health answers', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  http.app.beginStopping();
  http.app.beginStopping();
  for (const [method, path] of [
    ['GET', '/v1/jobs'],
    ['POST', '/v1/jobs'],
    ['GET', '/ready'],
    ['GET', '/missing'],
    ['GET', '/docs'],
  ]) {
    const { status, head, problem } = parseAnswer(
      await rawRequest(url, [`${method} ${path} HTTP/1.1`, 'Host: localhost']),
    );
    expect([status, problem['code']], path).toEqual([503, 'server.stopping']);
    expect(head).toContain('connection: close');
    expect(head).toContain('retry-after: 5');
    expect(head).toContain('content-type: application/problem+json');
  }
  expect(await rawRequest(url, ['GET /health HTTP/1.1', 'Host: localhost'])).toContain('HTTP/1.1 200');
});

test("event streams end cleanly and long polls answer with the job's state", async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const { id } = await http.make();
  http.events.publish(id, { kind: 'job.queued' });
  const stream = readStream(await fetch(`${url}/v1/jobs/${id}/events`, { headers: asCaller }));
  await stream.until('id: 1\n');
  const poll = fetch(`${url}/v1/jobs/${id}?wait=300`, { headers: asCaller });
  await http.jobs.nextWait();
  http.app.beginStopping();
  expect(await stream.all()).toContain('job.queued');
  expect(await (await poll).json()).toMatchObject({ finished: false });
});

test('close ends idle connections, silent ones, and those just answered', async () => {
  const http = await startHttp();
  const url = await http.listen();
  const silent = await dial(url);
  const idle = await dial(url);
  idle.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(idle, 'data');
  const { id } = await http.make();
  const busy = await dial(url);
  busy.write(
    `GET /v1/jobs/${id}?wait=300 HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${asCaller.authorization}\r\n\r\n`,
  );
  await http.jobs.nextWait();
  const ends = Promise.all([untilClosed(silent), untilClosed(idle), untilClosed(busy)]);
  await http.app.close();
  const [nothing, , answer] = await ends;
  expect(nothing).toBe('');
  expect(answer).toContain('HTTP/1.1 200');
});

test('a pipelined request is refused while the server closes', async () => {
  const http = await startHttp();
  const socket = await dial(await http.listen());
  const { id } = await http.make();
  const said = untilClosed(socket);
  const auth = `Host: localhost\r\nAuthorization: ${asCaller.authorization}`;
  socket.write(
    `GET /v1/jobs/${id}?wait=300 HTTP/1.1\r\n${auth}\r\n\r\nPOST /v1/jobs HTTP/1.1\r\n${auth}\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx`,
  );
  await http.jobs.nextWait();
  await http.app.close();
  expect((await said).match(/HTTP\/1\.1 \d+/g)?.[0]).toBe('HTTP/1.1 200');
});

test('new requests can be refused while streams and long polls still follow their jobs', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const { id } = await http.make();
  const stream = readStream(await fetch(`${url}/v1/jobs/${id}/events`, { headers: asCaller }));
  await http.events.nextReader();
  const poll = fetch(`${url}/v1/jobs/${id}?wait=300`, { headers: asCaller });
  await http.jobs.nextWait();
  http.app.refuseNewRequests();
  expect((await fetch(`${url}/v1/jobs`, { headers: asCaller })).status).toBe(503);
  http.events.publish(id, { kind: 'job.finished', job: http.jobs.finish(id) });
  expect(await stream.all()).toContain('event: job.finished');
  expect(await (await poll).json()).toMatchObject({ finished: true });
});

test('close does not wait without limit for a caller that does not read its answer', async () => {
  const app: HttpApp = Fastify().withTypeProvider<TypeBoxTypeProvider>();
  trackConnections(app, 20);
  app.get('/', async () => 'x'.repeat(64 * 1024 * 1024));
  const socket = await dial(await app.listen({ host: '127.0.0.1', port: 0 }));
  const closed = once(socket, 'close');
  socket.pause();
  const asked = once(app.server, 'request');
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await asked;
  await app.close();
  socket.resume();
  await closed;
});
