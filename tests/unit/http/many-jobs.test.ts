import { expect, test } from 'vitest';
import { asAdmin, asCaller, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;

const post = (http: Http, path: string, payload: object, headers: Record<string, string> = {}) =>
  http.app.inject({ method: 'POST', url: path, headers: { ...asCaller, ...headers }, payload });

test('cancelling many passes the filter of the list, the page and force', async () => {
  await using http = await startHttp();
  const filter = { status: ['queued'], tag: ['nightly'], createdAfter: '2026-11-01T00:00:00Z' };
  const answer = await post(http, '/v1/jobs/cancel', { filter, cursor: 'c', force: true });
  expect([answer.statusCode, answer.json()]).toEqual([
    200,
    { matched: 3, cancelled: 2, requested: 1, skipped: {}, nextCursor: null },
  ]);
  expect(http.manyJobs.calls).toEqual([{ filter, cursor: 'c', force: true, principal: 'caller' }]);
});

test('retrying many answers with the batch of the new jobs, or says that there is none', async () => {
  await using http = await startHttp();
  const body = { filter: { status: ['failed'] } };
  expect((await post(http, '/v1/jobs/retry', body)).statusCode).toBe(200);
  http.manyJobs.batchId = 'B';
  const answer = await post(http, '/v1/jobs/retry', body, { 'idempotency-key': 'k' });
  expect([answer.statusCode, answer.headers.location, answer.json().batchId]).toEqual([
    ...[202, '/v1/batches/B', 'B'],
  ]);
  expect(http.manyJobs.keys).toEqual([null, 'k']);
  expect((await post(http, '/v1/jobs/retry', { ...body, from: 'start' })).statusCode).toBe(202);
  expect(http.manyJobs.calls.map(({ from }) => from)).toEqual([null, null, 'start']);
  expect((await post(http, '/v1/jobs/retry', { ...body, from: 'middle' })).statusCode).toBe(400);
});

test.each(['\u0000', '%\u0000', 'a\u0000b'])(
  'a search for %j, which SQLite would cut, is refused',
  async (q) => {
    await using http = await startHttp();
    const message = 'has a form or characters that are not allowed';
    for (const path of ['/v1/jobs/cancel', '/v1/jobs/retry']) {
      const refused = await post(http, path, { filter: { q } });
      expect([refused.statusCode, refused.json().errors]).toEqual([400, [{ path: '/filter/q', message }]]);
    }
    for (const path of ['/v1/jobs', '/v1/sessions']) {
      const url = `${path}?${new URLSearchParams({ q })}`;
      const refused = await http.app.inject({ url, headers: asAdmin });
      expect([refused.statusCode, refused.json().errors]).toEqual([400, [{ path: '/query/q', message }]]);
    }
    expect(http.manyJobs.calls).toEqual([]);
  },
);

test.each(['/v1/jobs/cancel', '/v1/jobs/retry'])(
  'an empty filter of %s is refused, unless the caller says that it means all',
  async (path) => {
    await using http = await startHttp();
    for (const body of [{ filter: {} }, { filter: { status: [], tag: [] } }, { filter: {}, all: false }]) {
      const refused = await post(http, path, body);
      expect([refused.statusCode, refused.json().errors[0].path]).toEqual([400, '/filter']);
    }
    expect((await post(http, path, {})).json().errors).toEqual([{ path: '/filter', message: 'is required' }]);
    expect((await post(http, path, { filter: { speed: 1 } })).statusCode).toBe(400);
    expect(http.manyJobs.calls).toEqual([]);
    expect((await post(http, path, { filter: {}, all: true })).statusCode).toBe(200);
    expect(http.manyJobs.calls).toMatchObject([{ filter: {}, cursor: null }]);
  },
);
