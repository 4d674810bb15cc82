import { expect, test } from 'vitest';
import { callerOf } from '../../fakes/principals.ts';
import { asAdmin, asCaller, startHttp } from './harness.ts';

test('usage is by day over all time unless asked otherwise', async () => {
  await using http = await startHttp();
  const answer = await http.app.inject({ url: '/v1/usage', headers: asCaller });
  expect(answer.statusCode).toBe(200);
  expect(answer.json()).toEqual({
    by: 'day',
    from: null,
    to: null,
    data: [expect.objectContaining({ key: '2026-03-01', costUsd: 0.3, unknownCosts: 0 })],
  });
});

test('bounds may have any offset; the query has the caller', async () => {
  await using http = await startHttp();
  const url = '/v1/usage?by=model&from=2026-03-01T02:00:00%2B02:00&to=2026-03-02T00:00:00Z';
  expect((await http.app.inject({ url, headers: asCaller })).statusCode).toBe(200);
  expect((await http.app.inject({ url, headers: asAdmin })).statusCode).toBe(200);
  const query = { by: 'model', from: '2026-03-01T00:00:00.000Z', to: '2026-03-02T00:00:00.000Z' };
  expect(http.usage.asked).toEqual([
    { principal: expect.objectContaining(callerOf('caller')), query },
    { principal: expect.objectContaining({ admin: true }), query },
  ]);
});

test.each([
  ...['by=month', 'from=yesterday', 'until=2026-03-01T00:00:00Z', 'by=day&by=tag'],
  ...['from=2016-12-31T23:59:60Z', 'to=2016-12-31T23:59:60Z'], // a leap second
])('%s is refused', async (query) => {
  await using http = await startHttp();
  const answer = await http.app.inject({ url: `/v1/usage?${query}`, headers: asCaller });
  expect(answer.statusCode).toBe(400);
  expect(answer.json()).toMatchObject({ code: 'request.invalid' });
  expect(http.usage.asked).toEqual([]);
});

test('usage without a token is 401', async () => {
  await using http = await startHttp();
  expect((await http.app.inject({ url: '/v1/usage' })).statusCode).toBe(401);
});
