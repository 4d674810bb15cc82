import { expect, test } from 'vitest';
import { asCaller, startHttp } from './harness.ts';

const post = (key: string, rest: object) => ({
  method: 'POST' as const,
  url: '/v1/jobs',
  headers: { ...asCaller, 'idempotency-key': key, 'content-type': 'application/json' },
  ...rest,
});

test('the same key and request, in any spelling, is the same job and marked as replayed', async () => {
  await using http = await startHttp();
  const first = await http.app.inject(post('k', { payload: '{"prompt":"x","maxTurns":2,"tags":["a"]}' }));
  expect([first.statusCode, first.headers['idempotent-replayed']]).toEqual([202, undefined]);
  const again = [
    post('k', { payload: '{ "tags": ["a"], "maxTurns": 2, "prompt": "x" }' }),
    post('k', { payload: '{"prompt":"x","maxTurns":2,"tags":["a"]}', url: '/v1/jobs?wait=0' }),
    post('k', {
      payload: 'x',
      url: '/v1/jobs?maxTurns=2&tags=a',
      headers: { ...asCaller, 'idempotency-key': 'k', 'content-type': 'text/plain' },
    }),
  ];
  for (const request of again) {
    const answer = await http.app.inject(request);
    expect([answer.statusCode, answer.json().id]).toEqual([202, first.json().id]);
    expect(answer.headers['idempotent-replayed']).toBe('true');
    expect(answer.headers.location).toBe(first.headers.location);
  }
  expect(http.jobs.requests).toHaveLength(1);
});

test('the same key with another request is 422', async () => {
  await using http = await startHttp();
  await http.app.inject(post('k', { payload: { prompt: 'x' } }));
  const other = await http.app.inject(post('k', { payload: { prompt: 'y' } }));
  expect([other.statusCode, other.json().code]).toEqual([422, 'idempotency.key_reused']);
});

test('a retry has a key of its own', async () => {
  await using http = await startHttp();
  const job = await http.make();
  http.jobs.finish(job.id);
  const retry = { ...post('k', {}), url: `/v1/jobs/${job.id}/retry`, payload: {} };
  const first = await http.app.inject(retry);
  const second = await http.app.inject(retry);
  expect([first.statusCode, second.json().id, second.headers['idempotent-replayed']]).toEqual([
    202,
    first.json().id,
    'true',
  ]);
});

test.each(['', ' ', 'a b', 'a\tb', 'ключ', 'x'.repeat(256)])('the key %j is 400', async (key) => {
  await using http = await startHttp();
  const answer = await http.app.inject(post(key, { payload: { prompt: 'x' } }));
  expect([answer.statusCode, answer.json().errors?.[0]?.path]).toEqual([400, '/headers/idempotency-key']);
  expect(http.jobs.requests).toHaveLength(0);
});

test('a key of 255 characters is accepted', async () => {
  await using http = await startHttp();
  expect((await http.app.inject(post('x'.repeat(255), { payload: { prompt: 'x' } }))).statusCode).toBe(202);
});
