import { expect, test } from 'vitest';
import { asAdmin, asCaller, startHttp } from './harness.ts';
import { readStream } from './stream-reader.ts';

/** The answer to a request for all events. */
async function open(
  http: Awaited<ReturnType<typeof startHttp>>,
  query = '',
  headers: Record<string, string> = asAdmin,
): Promise<Response> {
  return fetch(`${await http.listen()}/v1/events${query}`, { headers });
}

test('changes come as server-sent events, whose id is the cursor', async () => {
  await using http = await startHttp();
  const first = http.changeLog.add('caller', { kind: 'job.created' });
  const response = await open(http, '?after=0');
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const stream = readStream(response);
  await stream.until(`event: cursor\nid: 0-0\n`);
  await stream.until(`event: job.created\nid: ${first}\ndata: {"cursor":"${first}",`);
  const second = http.changeLog.add('caller', { kind: 'job.finished', status: 'failed' });
  await stream.until(`event: job.finished\nid: ${second}\n`);
  await stream.leave();
});

test('changes come as NDJSON, after Last-Event-ID and not after an old ?after', async () => {
  await using http = await startHttp();
  const [first, second, third] = [1, 2, 3].map(() => http.changeLog.add('caller'));
  const headers = { ...asAdmin, accept: 'application/x-ndjson', 'last-event-id': second ?? '' };
  const stream = readStream(await open(http, `?after=${first}`, headers));
  const lines = (await stream.until(`"${third}"`)).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line).cursor)).toEqual([second, third]);
  await stream.leave();
});

test('a caller gets the changes of its own jobs', async () => {
  await using http = await startHttp();
  http.changeLog.add('admin');
  const own = http.changeLog.add('caller');
  const stream = readStream(await open(http, '?after=0', asCaller));
  expect(await stream.until(own)).not.toContain('"rev":1,');
  await stream.leave();
});

test('a cursor whose changes are lost is 410', async () => {
  await using http = await startHttp();
  http.changeLog.add('caller');
  const response = await open(http, '?after=1-1');
  expect([response.status, await response.json()]).toMatchObject([410, { code: 'events.expired' }]);
});

test('the stream ends when the server stops', async () => {
  await using http = await startHttp();
  const stream = readStream(await open(http));
  await stream.until('event: cursor');
  http.app.beginStopping();
  expect(await stream.all()).toContain('event: cursor');
});

test.each(['after=x', 'after=-1', 'after=1', `after=${'9'.repeat(20)}-0`, 'status=done', 'kinds=text'])(
  '?%s is 400',
  async (query) => {
    await using http = await startHttp();
    expect((await http.app.inject({ url: `/v1/events?${query}`, headers: asAdmin })).statusCode).toBe(400);
  },
);

test('a Last-Event-ID of a job is 400, and a caller without a token 401', async () => {
  await using http = await startHttp();
  const headers = { ...asAdmin, 'last-event-id': '7' };
  expect((await http.app.inject({ url: '/v1/events', headers })).statusCode).toBe(400);
  expect((await http.app.inject({ url: '/v1/events' })).statusCode).toBe(401);
});
