import { afterAll, beforeAll, expect, test } from 'vitest';
import { startHttp } from './harness.ts';
import { get, withEvents } from './job-with-events.ts';
import { framesIn } from './stream-reader.ts';

/** With a finished job, for questions that change nothing. */
let shared: Awaited<ReturnType<typeof startHttp>>;
let events: string;
beforeAll(async () => {
  shared = await startHttp();
  events = await withEvents(shared, true);
});
afterAll(() => shared.app.close());

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

test('an empty Last-Event-ID is ignored', async () => {
  await using http = await startHttp();
  const url = await withEvents(http, true);
  expect(framesIn((await get(http, `${url}?after=4`, { 'last-event-id': '' })).body)).toHaveLength(1);
});

test.each(['x', '-1', '1.5', '1e3', '9'.repeat(40), '1, 2', '0x10'])(
  'the Last-Event-ID %j is 400',
  async (id) => {
    const answer = await get(shared, events, { 'last-event-id': id });
    expect([answer.statusCode, answer.json().errors[0].path]).toEqual([400, '/headers/last-event-id']);
  },
);

test.each(['after=-1', 'after=x', 'kinds=txt', 'kinds=', 'raw=yes', 'raw=1', 'since=1'])(
  '?%s is 400',
  async (query) => {
    expect((await get(shared, `${events}?${query}`)).statusCode).toBe(400);
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
  expect((await get(shared, events, { accept })).statusCode).toBe(status);
});
