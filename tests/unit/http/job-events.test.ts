import { expect, test } from 'vitest';
import { asCaller, startHttp } from './harness.ts';
import { finish, get, idIn, withEvents } from './job-with-events.ts';
import { framesIn, readStream } from './stream-reader.ts';

test('a finished job streams everything and ends', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, true);
  const answer = await get(http, url);
  expect(answer.statusCode).toBe(200);
  expect(answer.headers).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
    'x-content-type-options': 'nosniff',
    'x-request-id': expect.any(String),
  });
  expect(answer.body.startsWith('retry: 2000\n\n')).toBe(true);
  const frames = framesIn(answer.body);
  expect(frames.map(({ event, id }) => [event, id])).toEqual([
    ['job.queued', 1],
    ['text.delta', 2],
    ['text', 4],
    ['job.finished', 5],
  ]);
  expect(frames[1]?.data).toEqual({
    seq: 2,
    jobId: idIn(url),
    attempt: 1,
    at: '1970-01-01T00:00:00.000Z',
    kind: 'text.delta',
    text: 'a\nb\r\n\u2028c',
  });
  expect(frames[3]?.data).toMatchObject({ job: { id: idIn(url), finished: true } });
});

test('a running job streams its stored events, then new ones, and ends after job.finished', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, false);
  const response = await fetch((await http.listen()) + url, { headers: asCaller });
  const stream = readStream(response);
  await stream.until('id: 4\n');
  await http.events.nextReader();
  http.events.publish(idIn(url), { kind: 'text', text: 'later' });
  await stream.until('later');
  finish(http, idIn(url));
  expect(framesIn(await stream.all()).map(({ id }) => id)).toEqual([1, 2, 4, 5, 6]);
});

test('a quiet stream has heartbeats, in SSE only', async () => {
  // Long enough for a busy machine to send a request in, short enough to wait out.
  await using http = await startHttp({ settings: { heartbeatMs: 40, connectionTimeoutMs: 300 } });
  const url = (await http.listen()) + (await withEvents(http, false));
  const quiet = readStream(await fetch(url, { headers: { ...asCaller, accept: 'application/x-ndjson' } }));
  const stream = readStream(await fetch(url, { headers: asCaller }));
  // Far longer than the limit on silent connections, which must not end either of them.
  await stream.until(': alive\n\n'.repeat(20));
  finish(http, idIn(new URL(url).pathname));
  expect(await quiet.all()).not.toContain('alive');
});

test('a finished job without stored events is 204', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  http.jobs.finish(id);
  http.events.read = async function* () {};
  expect((await get(http, `/v1/jobs/${id}/events`)).statusCode).toBe(204);
});

test('an error destroys the connection instead of ending the stream', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, false);
  const stream = readStream(await fetch((await http.listen()) + url, { headers: asCaller }));
  await stream.until('id: 4\n');
  await http.events.nextReader();
  http.events.cutNext = new Error('too slow');
  http.events.wake();
  await expect(stream.all()).rejects.toThrow();
});

test('a reader that leaves ends its read', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, false);
  const { read } = http.events;
  const left = Promise.withResolvers<void>();
  http.events.read = (id, after, signal) => {
    signal.addEventListener('abort', () => left.resolve());
    return read.call(http.events, id, after, signal);
  };
  const stream = readStream(await fetch((await http.listen()) + url, { headers: asCaller }));
  await stream.until('id: 4\n');
  await stream.leave();
  await left.promise;
});

test('HEAD of a stream is 405', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, false);
  expect((await http.app.inject({ method: 'HEAD', url, headers: asCaller })).statusCode).toBe(405);
});
