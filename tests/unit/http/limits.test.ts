import { expect, test } from 'vitest';
import { DEFAULT_HTTP_SETTINGS } from '../../../src/http/fastify.ts';
import { asCaller, CALLER_TOKEN, startHttp } from './harness.ts';
import { dial, parseAnswer, rawRequest, untilClosed } from './raw-socket.ts';

const AUTH = `Authorization: Bearer ${CALLER_TOKEN}`;
const SHORT = { headersTimeoutMs: 50, requestTimeoutMs: 60 };

test('every limit of Node and Fastify is set', async () => {
  await using http = await startHttp();
  const { server, initialConfig } = http.app;
  expect({
    headersTimeout: server.headersTimeout,
    requestTimeout: server.requestTimeout,
    keepAliveTimeout: server.keepAliveTimeout,
    timeout: server.timeout,
    maxRequestsPerSocket: server.maxRequestsPerSocket,
  }).toEqual({
    headersTimeout: 15_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 72_000,
    timeout: 120_000,
    maxRequestsPerSocket: 0,
  });
  expect(initialConfig).toMatchObject({
    bodyLimit: 2 * 1024 * 1024,
    requestTimeout: 30_000,
    connectionTimeout: 120_000,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
  });
  expect(http.app.initialConfig.routerOptions?.maxParamLength).toBe(100);
  expect(DEFAULT_HTTP_SETTINGS.headersTimeoutMs).toBeLessThan(DEFAULT_HTTP_SETTINGS.requestTimeoutMs);
});

test('a body one byte over the limit is 413, with Content-Length or chunked', async () => {
  await using http = await startHttp({ settings: { bodyLimitBytes: 1000 } });
  const url = await http.listen();
  const head = [
    'POST /v1/jobs HTTP/1.1',
    'Host: localhost',
    AUTH,
    'Content-Type: text/plain',
    'Connection: close',
  ];
  const fits = await rawRequest(url, [...head, 'Content-Length: 1000'], 'x'.repeat(1000));
  expect(fits).toContain('HTTP/1.1 202');
  const announced = await rawRequest(url, [...head, 'Content-Length: 1001'], 'x'.repeat(1001));
  expect(parseAnswer(announced)).toMatchObject({ status: 413, problem: { code: 'request.too_large' } });
  const chunks = `1f4\r\n${'x'.repeat(500)}\r\n1f5\r\n${'x'.repeat(501)}\r\n0\r\n\r\n`;
  const chunked = await rawRequest(url, [...head, 'Transfer-Encoding: chunked'], chunks);
  expect(parseAnswer(chunked)).toMatchObject({ status: 413, problem: { code: 'request.too_large' } });
});

test('slow headers and a silent connection are 408 and closed', async () => {
  await using http = await startHttp({ settings: SHORT });
  const url = await http.listen();
  for (const bytes of ['', 'GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow:']) {
    const socket = await dial(url);
    const said = untilClosed(socket);
    socket.write(bytes);
    expect(parseAnswer(await said)).toMatchObject({
      status: 408,
      problem: { code: 'request.timeout', status: 408 },
    });
  }
});

test('a slow body is cut off', async () => {
  await using http = await startHttp({ settings: SHORT });
  const socket = await dial(await http.listen());
  const said = untilClosed(socket);
  socket.write(
    `POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n${AUTH}\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nslow`,
  );
  expect(parseAnswer(await said)).toMatchObject({ status: 408, problem: { code: 'request.timeout' } });
  expect(http.jobs.requests).toEqual([]);
});

test('a connection between two requests is closed after the keep-alive time', async () => {
  await using http = await startHttp({ settings: { keepAliveTimeoutMs: 20 } });
  const answer = await rawRequest(await http.listen(), ['GET /health HTTP/1.1', 'Host: localhost']);
  expect(answer).toContain('HTTP/1.1 200');
});

test('a long poll outlives the limits on silence', async () => {
  await using http = await startHttp({
    // Long enough for a busy machine to send a request in, short enough to wait out.
    settings: {
      connectionTimeoutMs: 500,
      keepAliveTimeoutMs: 500,
      headersTimeoutMs: 3000,
      requestTimeoutMs: 3500,
    },
  });
  const url = await http.listen();
  const { id } = await http.make();
  const asked = fetch(`${url}/v1/jobs/${id}?wait=300`, { headers: asCaller });
  await http.jobs.nextWait();
  // Closed by the server for its silence: as long as this one needs, the long poll has been silent
  // too.
  await untilClosed(await dial(url));
  http.jobs.finish(id);
  expect(await (await asked).json()).toMatchObject({ finished: true });
});

test('20 kB of headers or of address are 431', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const long = 'x'.repeat(20_000);
  for (const lines of [
    ['GET /health HTTP/1.1', 'Host: localhost', `X-Long: ${long}`],
    [`GET /${long} HTTP/1.1`, 'Host: localhost'],
  ]) {
    const { status, head, problem } = parseAnswer(await rawRequest(url, lines));
    expect([status, problem['code'], problem['status']]).toEqual([431, 'request.headers_too_large', 431]);
    expect(head).toContain('content-type: application/problem+json');
    expect(head).toContain('connection: close');
  }
});
