import { expect, test } from 'vitest';
import type { EventBody } from '../../../src/protocol/event.ts';
import { asCaller, startHttp } from './harness.ts';
import { framesIn, readStream } from './stream-reader.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const BODIES: readonly EventBody[] = [
  { kind: 'job.queued' },
  { kind: 'text.delta', text: 'a\nb\r\n\u2028c' },
  { kind: 'raw', line: '{"new":true}' },
  { kind: 'text', text: 'abc' },
];

/** A job with four events, finished with a fifth if asked. */
async function withEvents(http: Http, finished: boolean): Promise<string> {
  const { id } = await http.make();
  for (const body of BODIES) http.events.publish(id, body, '{"line":1}');
  if (finished) finish(http, id);
  return `/v1/jobs/${id}/events`;
}

function finish(http: Http, id: string): void {
  http.events.publish(id, { kind: 'job.finished', job: http.jobs.finish(id) });
}

const idIn = (url: string): string => url.split('/')[3] ?? '';
const get = (http: Http, url: string, headers: Record<string, string> = {}) =>
  http.app.inject({ url, headers: { ...asCaller, ...headers } });

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

test('a living job streams what is there, then what comes, and ends after job.finished', async () => {
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

test.each([
  ['?after', (seq: number) => ({ query: `?after=${seq}`, headers: {} })],
  ['Last-Event-ID', (seq: number) => ({ query: '', headers: { 'last-event-id': String(seq) } })],
  [
    'Last-Event-ID over an old ?after',
    (seq: number) => ({ query: '?after=1', headers: { 'last-event-id': String(seq) } }),
  ],
])('%s resumes without a gap or a duplicate', async (_name, resume) => {
  await using http = await startHttp();
  const url = await withEvents(http, true);
  for (const seq of [0, 1, 2, 3, 4]) {
    const { query, headers } = resume(seq);
    const answer = await get(http, url + query, headers);
    const missing = [1, 2, 4, 5].filter((id) => id > seq);
    expect(framesIn(answer.body).map(({ id }) => id)).toEqual(missing);
  }
  for (const seq of [5, 6, 1_000_000]) {
    const { query, headers } = resume(seq);
    const answer = await get(http, url + query, headers);
    expect([answer.statusCode, answer.body]).toEqual([204, '']);
  }
});

test('an empty Last-Event-ID is none', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, true);
  expect(framesIn((await get(http, `${url}?after=4`, { 'last-event-id': '' })).body)).toHaveLength(1);
});

test.each(['x', '-1', '1.5', '1e3', '9'.repeat(40), '1, 2', '0x10'])(
  'the Last-Event-ID %j is 400',
  async (id) => {
    await using http = await startHttp();
    const answer = await get(http, await withEvents(http, true), { 'last-event-id': id });
    expect([answer.statusCode, answer.json().errors[0].path]).toEqual([400, '/headers/last-event-id']);
  },
);

test.each(['after=-1', 'after=x', 'kinds=txt', 'kinds=', 'raw=yes', 'raw=1', 'since=1'])(
  '?%s is 400',
  async (query) => {
    await using http = await startHttp();
    expect((await get(http, `${await withEvents(http, true)}?${query}`)).statusCode).toBe(400);
  },
);

test('?kinds leaves out the others, but never the end', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, true);
  const kinds = async (query: string) =>
    framesIn((await get(http, url + query)).body).map(({ event }) => event);
  expect(await kinds('?kinds=text,text.delta')).toEqual(['text.delta', 'text', 'job.finished']);
  expect(await kinds('?kinds=text&kinds=job.queued')).toEqual(['job.queued', 'text', 'job.finished']);
  expect(await kinds('?kinds=usage')).toEqual(['job.finished']);
  expect(await kinds('?kinds=raw')).toEqual(['job.finished']);
});

test("the CLI's own lines come only with ?raw=true", async () => {
  await using http = await startHttp();
  const url = await withEvents(http, true);
  const plain = await get(http, url);
  expect(plain.body).not.toContain('line');
  const raw = framesIn((await get(http, `${url}?raw=true`)).body);
  expect(raw.map(({ event }) => event)).toContain('raw');
  expect(raw[1]?.data['raw']).toBe('{"line":1}');
});

test('NDJSON is one event a line', async () => {
  await using http = await startHttp();
  const answer = await get(http, await withEvents(http, true), { accept: 'application/x-ndjson' });
  expect(answer.headers['content-type']).toBe('application/x-ndjson');
  const lines = answer.body.split('\n');
  expect(lines.pop()).toBe('');
  expect(lines.map((line) => JSON.parse(line).seq)).toEqual([1, 2, 4, 5]);
});

test.each([
  ['text/event-stream', 200],
  ['*/*', 200],
  ['text/*', 200],
  ['application/json', 406],
  ['text/html', 406],
  ['text/event-stream;q=0, application/json', 406],
])('Accept: %s is %i', async (accept, status) => {
  await using http = await startHttp();
  expect((await get(http, await withEvents(http, true), { accept })).statusCode).toBe(status);
});

test('a quiet stream shows signs of life, in SSE alone', async () => {
  await using http = await startHttp({ settings: { heartbeatMs: 5, connectionTimeoutMs: 20 } });
  const url = (await http.listen()) + (await withEvents(http, false));
  const quiet = readStream(await fetch(url, { headers: { ...asCaller, accept: 'application/x-ndjson' } }));
  const stream = readStream(await fetch(url, { headers: asCaller }));
  // Far longer than the limit on silent connections, which must not end either of them.
  await stream.until(': alive\n\n'.repeat(15));
  finish(http, idIn(new URL(url).pathname));
  expect(await quiet.all()).not.toContain('alive');
});

test('events that are gone, of a job that is over, are 204', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  http.jobs.finish(id);
  http.events.read = async function* () {};
  expect((await get(http, `/v1/jobs/${id}/events`)).statusCode).toBe(204);
});

test('a stream that breaks is broken off, not ended', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, false);
  const stream = readStream(await fetch((await http.listen()) + url, { headers: asCaller }));
  await stream.until('id: 4\n');
  await http.events.nextReader();
  http.events.cutNext = new Error('too slow');
  http.events.wake();
  await expect(stream.all()).rejects.toThrow();
});

test('a reader that leaves is let go', async () => {
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

test('HEAD is not a stream', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, false);
  expect((await http.app.inject({ method: 'HEAD', url, headers: asCaller })).statusCode).toBe(405);
});
