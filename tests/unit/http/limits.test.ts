import { expect, test } from 'vitest';
import { DEFAULT_HTTP_SETTINGS } from '../../../src/http/settings.ts';
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

test('a body one byte over the limit is 413, announced or chunked; one of the limit is read', async () => {
  await using http = await startHttp({ settings: { bodyLimitBytes: 1000 } });
  const url = await http.listen();
  const head = ['POST /v1/jobs HTTP/1.1', 'Host: x', AUTH, 'Content-Type: text/plain', 'Connection: close'];
  const fits = await rawRequest(url, [...head, 'Content-Length: 1000'], 'x'.repeat(1000));
  expect(fits).toContain('HTTP/1.1 202');
  const announced = await rawRequest(url, [...head, 'Content-Length: 1001'], 'x'.repeat(1001));
  expect(parseAnswer(announced)).toMatchObject({ status: 413, problem: { code: 'request.too_large' } });
  const chunks = `1f4\r\n${'x'.repeat(500)}\r\n1f5\r\n${'x'.repeat(501)}\r\n0\r\n\r\n`;
  const chunked = await rawRequest(url, [...head, 'Transfer-Encoding: chunked'], chunks);
  expect(parseAnswer(chunked)).toMatchObject({ status: 413, problem: { code: 'request.too_large' } });
});

test('headers that come too slowly, and a connection that says nothing, are 408 and closed', async () => {
  await using http = await startHttp({ settings: SHORT });
  const url = await http.listen();
  for (const bytes of ['', 'GET /health HTTP/1.1\r\nHost: x\r\nX-Slow:']) {
    const socket = await dial(url);
    const said = untilClosed(socket);
    socket.write(bytes);
    expect(parseAnswer(await said)).toMatchObject({
      status: 408,
      problem: { code: 'request.timeout', status: 408 },
    });
  }
});

test('a body that comes too slowly is cut off', async () => {
  await using http = await startHttp({ settings: SHORT });
  const socket = await dial(await http.listen());
  const said = untilClosed(socket);
  socket.write(
    `POST /v1/jobs HTTP/1.1\r\nHost: x\r\n${AUTH}\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nslow`,
  );
  expect(parseAnswer(await said)).toMatchObject({ status: 408, problem: { code: 'request.timeout' } });
  expect(http.jobs.requests).toEqual([]);
});

test('a connection between two requests is closed after the keep-alive time', async () => {
  await using http = await startHttp({ settings: { keepAliveTimeoutMs: 20 } });
  const answer = await rawRequest(await http.listen(), ['GET /health HTTP/1.1', 'Host: x']);
  expect(answer).toContain('HTTP/1.1 200');
});

test('a long poll outlives the limits on silence', async () => {
  await using http = await startHttp({
    settings: { connectionTimeoutMs: 20, keepAliveTimeoutMs: 20, ...SHORT },
  });
  const url = await http.listen();
  const { id } = await http.make();
  const asked = fetch(`${url}/v1/jobs/${id}?wait=300`, { headers: asCaller });
  await http.jobs.nextWait();
  // Closed by the server for its silence: as long as this one needs, the long poll has been silent too.
  await untilClosed(await dial(url));
  http.jobs.finish(id);
  expect(await (await asked).json()).toMatchObject({ finished: true });
});

test('20 kB of headers or of address are 431', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const long = 'x'.repeat(20_000);
  for (const lines of [
    ['GET /health HTTP/1.1', 'Host: x', `X-Long: ${long}`],
    [`GET /${long} HTTP/1.1`, 'Host: x'],
  ]) {
    const { status, head, problem } = parseAnswer(await rawRequest(url, lines));
    expect([status, problem['code'], problem['status']]).toEqual([431, 'request.headers_too_large', 431]);
    expect(head).toContain('content-type: application/problem+json');
    expect(head).toContain('connection: close');
  }
});

test.each([
  [
    'length and chunks',
    ['POST /v1/jobs HTTP/1.1', 'Host: x', AUTH, 'Content-Length: 5', 'Transfer-Encoding: chunked'],
  ],
  ['two lengths', ['POST /v1/jobs HTTP/1.1', 'Host: x', AUTH, 'Content-Length: 5', 'Content-Length: 6']],
  ['a hidden chunked', ['POST /v1/jobs HTTP/1.1', 'Host: x', AUTH, 'Transfer-Encoding: xchunked']],
  ['no request', ['hello there']],
  ['no Host', ['GET /health HTTP/1.1', 'Connection: close']],
  ['an unknown method', ['BREW /health HTTP/1.1', 'Host: x']],
])('%s is 400 and closed', async (_name, lines) => {
  await using http = await startHttp();
  const answer = await rawRequest(
    await http.listen(),
    lines,
    '0\r\n\r\nGET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n',
  );
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(http.jobs.requests).toEqual([]);
});

test('a bad chunk is 400 and makes no job', async () => {
  await using http = await startHttp();
  const lines = [
    'POST /v1/jobs HTTP/1.1',
    'Host: x',
    AUTH,
    'Content-Type: text/plain',
    'Transfer-Encoding: chunked',
  ];
  const answer = await rawRequest(await http.listen(), lines, 'zz\r\nhello\r\n0\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(http.jobs.requests).toEqual([]);
});

test('nonsense behind a request lets it have its answer and then closes', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  const socket = await dial(await http.listen());
  const said = untilClosed(socket);
  socket.write(`GET /v1/jobs/${id}/events HTTP/1.1\r\nHost: x\r\n${AUTH}\r\n\r\nnonsense\r\n\r\n`);
  await http.events.nextReader();
  socket.write('more nonsense\r\n\r\n');
  http.events.publish(id, { kind: 'job.finished', job: http.jobs.finish(id) });
  const answer = await said;
  expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(answer).toContain('event: job.finished');
  expect(answer).not.toContain('request.invalid');
});
