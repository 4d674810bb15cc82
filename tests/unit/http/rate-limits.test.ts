import { expect, test } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { asAdmin, asCaller, startHttp } from './harness.ts';

const RATE = { limit: 60, remaining: 59, resetMs: 1500 };
const headersOf = ({ headers }: { readonly headers: Record<string, unknown> }) =>
  Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.startsWith('ratelimit') || name === 'retry-after'),
  );

test('each answer says what is left of the requests a minute, also one that refuses', async () => {
  await using server = await startHttp({ requests: () => RATE });
  const shown = { 'ratelimit-limit': '60', 'ratelimit-remaining': '59', 'ratelimit-reset': '2' };
  for (const url of ['/v1/jobs', '/v1/jobs/none']) {
    expect(headersOf(await server.app.inject({ url, headers: asCaller }))).toEqual(shown);
  }
});

test('a request over the limit is 429, names the limit and says when to come back', async () => {
  const limited = new AppError('limit.requests_per_minute', 'this caller may make 60 requests a minute', {
    ...{ retryAfterSeconds: 7, rate: { ...RATE, remaining: 0, resetMs: 60_000 } },
  });
  const requests = () => {
    throw limited;
  };
  await using server = await startHttp({ requests });
  const answer = await server.app.inject({ url: '/v1/jobs', headers: asCaller });
  expect(answer.statusCode).toBe(429);
  expect(answer.json()).toMatchObject({ code: 'limit.requests_per_minute', detail: limited.message });
  expect(headersOf(answer)).toEqual({
    ...{ 'retry-after': '7', 'ratelimit-limit': '60', 'ratelimit-remaining': '0', 'ratelimit-reset': '60' },
  });
});

test('no request without a caller is counted: a wrong token, a public route', async () => {
  const seen: string[] = [];
  const requests = ({ id }: { readonly id: string }) => {
    seen.push(id);
    return null;
  };
  await using server = await startHttp({ requests });
  await server.app.inject({ url: '/v1/jobs', headers: { authorization: 'Bearer wrong' } });
  await server.app.inject({ url: '/health' });
  expect(seen).toEqual([]);
  const answer = await server.app.inject({ url: '/v1/jobs', headers: asAdmin });
  expect(headersOf(answer)).toEqual({});
  expect(seen).toEqual(['admin']);
});

test('a new job shows what is left of the jobs an hour', async () => {
  await using server = await startHttp({ requests: () => RATE });
  server.jobs.rate = { limit: 10, remaining: 9, resetMs: 3_600_000 };
  const answer = await server.app.inject({
    ...{ method: 'POST', url: '/v1/jobs', headers: asCaller, payload: { prompt: 'Hello' } },
  });
  expect(answer.statusCode).toBe(202);
  expect(headersOf(answer)).toEqual({
    ...{ 'ratelimit-limit': '10', 'ratelimit-remaining': '9', 'ratelimit-reset': '3600' },
  });
});
