import { expect, test } from 'vitest';
import { CALLER_TOKEN, startHttp } from './harness.ts';
import { dial, rawRequest, untilClosed } from './raw-socket.ts';

const AUTH = `Authorization: Bearer ${CALLER_TOKEN}`;

test.each([
  [
    'length and chunks',
    ['POST /v1/jobs HTTP/1.1', 'Host: localhost', AUTH, 'Content-Length: 5', 'Transfer-Encoding: chunked'],
  ],
  [
    'two lengths',
    ['POST /v1/jobs HTTP/1.1', 'Host: localhost', AUTH, 'Content-Length: 5', 'Content-Length: 6'],
  ],
  ['a hidden chunked', ['POST /v1/jobs HTTP/1.1', 'Host: localhost', AUTH, 'Transfer-Encoding: xchunked']],
  ['no request', ['hello there']],
  ['no Host', ['GET /health HTTP/1.1', 'Connection: close']],
  ['an unknown method', ['BREW /health HTTP/1.1', 'Host: localhost']],
])('%s is 400 and closed', async (_name, lines) => {
  await using http = await startHttp();
  const answer = await rawRequest(
    await http.listen(),
    lines,
    '0\r\n\r\nGET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n',
  );
  expect(answer).toMatch(/^HTTP\/1\.1 400 .*content-security-policy: default-src 'none';/s);
  expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(http.jobs.requests).toEqual([]);
});

test('a bad chunk is 400 and makes no job', async () => {
  await using http = await startHttp();
  const lines = [
    'POST /v1/jobs HTTP/1.1',
    'Host: localhost',
    AUTH,
    'Content-Type: text/plain',
    'Transfer-Encoding: chunked',
  ];
  const answer = await rawRequest(await http.listen(), lines, 'zz\r\nhello\r\n0\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(http.jobs.requests).toEqual([]);
});

test('bytes that are no HTTP after a request close the connection after its answer', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  const socket = await dial(await http.listen());
  const said = untilClosed(socket);
  socket.write(`GET /v1/jobs/${id}/events HTTP/1.1\r\nHost: localhost\r\n${AUTH}\r\n\r\nnonsense\r\n\r\n`);
  await http.events.nextReader();
  socket.write('more nonsense\r\n\r\n');
  http.events.publish(id, { kind: 'job.finished', job: http.jobs.finish(id) });
  const answer = await said;
  expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(answer).toContain('event: job.finished');
  expect(answer).not.toContain('request.invalid');
});
