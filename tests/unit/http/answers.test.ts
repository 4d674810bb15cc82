import { expect, test } from 'vitest';
import { Compile } from '#typebox/compile';
import { AppError } from '../../../src/errors.ts';
import { ProblemDetails } from '../../../src/protocol/problem.ts';
import { asAdmin, asCaller, startHttp } from './harness.ts';

test('every error is a problem with the id of its request', async () => {
  await using http = await startHttp();
  const headers = { ...asCaller, 'x-request-id': 'my-request.1' };
  const { id } = await http.make();
  for (const [method, url, status, code] of [
    ['GET', '/missing', 404, 'request.not_found'],
    ['GET', '/v1/jobs/x', 404, 'job.not_found'],
    ['GET', `/v1/jobs/${'x'.repeat(300)}`, 404, 'request.not_found'],
    ['GET', '/v1/jobs/%zz', 400, 'request.invalid'],
    ['PUT', '/v1/jobs', 405, 'request.method_not_allowed'],
    ['DELETE', `/v1/jobs/${id}`, 409, 'job.not_finished'],
    ['GET', '/metrics', 403, 'auth.forbidden'],
  ] as const) {
    const answer = await http.app.inject({ method, url, headers });
    expect([answer.statusCode, answer.headers['content-type']], url).toEqual([
      status,
      'application/problem+json',
    ]);
    expect(Compile(ProblemDetails).Errors(answer.json())).toEqual([]);
    expect(answer.json()).toMatchObject({
      status,
      code,
      type: `/docs/errors#${code}`,
      requestId: 'my-request.1',
    });
    expect(answer.headers).toMatchObject({
      'x-request-id': 'my-request.1',
      'x-content-type-options': 'nosniff',
    });
  }
});

test('405 names the methods there are', async () => {
  await using http = await startHttp();
  const allow = async (method: 'PUT' | 'OPTIONS' | 'DELETE', url: string) =>
    (await http.app.inject({ method, url, headers: asCaller })).headers.allow;
  expect(await allow('PUT', '/v1/jobs?x=1')).toBe('GET, HEAD, POST');
  expect(await allow('OPTIONS', '/v1/jobs/x')).toBe('GET, HEAD, PATCH, DELETE');
  expect(await allow('DELETE', '/v1/jobs/x/events')).toBe('GET');
  expect(await allow('DELETE', '/v1/jobs/x/nothing')).toBeUndefined();
});

test('an unknown error shows its details in the log only', async () => {
  await using http = await startHttp();
  http.jobs.get = () => Promise.reject(new Error('ECONNREFUSED redis://user:secret@10.0.0.1'));
  const { id } = await http.make();
  const answer = await http.app.inject({ url: `/v1/jobs/${id}`, headers: asCaller });
  expect([answer.statusCode, answer.json().code]).toEqual([500, 'internal.error']);
  expect(answer.body).not.toContain('redis');
  expect(http.log.join('')).toContain('ECONNREFUSED');
});

test.each([
  [new AppError('redis.unavailable', 'Redis cannot be reached'), 503, '2'],
  [new AppError('queue.full', 'full', { retryAfterSeconds: 7.2 }), 503, '8'],
  [new AppError('execution.quota', 'slow down', { retryAfterSeconds: 60 }), 429, '60'],
  [new AppError('session.not_found', 'no'), 404, undefined],
  [new AppError('provider.unsupported_option', 'no'), 422, undefined],
])('%s is answered by its code', async (error, status, retryAfter) => {
  await using http = await startHttp();
  http.jobs.failNext = error;
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/jobs',
    headers: asCaller,
    payload: { prompt: 'x' },
  });
  expect([answer.statusCode, answer.json().code, answer.headers['retry-after']]).toEqual([
    status,
    error.code,
    retryAfter,
  ]);
});

test('a POST during an outage of Redis may have been done, and its answer says so', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  const outage = () => Promise.reject(new AppError('redis.unavailable', 'away', { retryAfterSeconds: 9 }));
  http.jobs.get = http.jobs.create = outage;
  const ask = (method: 'GET' | 'POST', url: string) =>
    http.app.inject({
      method,
      url,
      headers: asCaller,
      ...(method === 'POST' && { payload: { prompt: 'x' } }),
    });
  expect((await ask('GET', `/v1/jobs/${id}`)).json().detail).toBe('away');
  const posted = await ask('POST', '/v1/jobs');
  expect([posted.statusCode, posted.headers['retry-after']]).toEqual([503, '9']);
  expect(posted.json().detail).toMatch(/^away; this request may have been done/);
});

test('a body of a type that no route takes is answered with the type to send', async () => {
  await using http = await startHttp();
  const headers = { ...asCaller, 'content-type': 'application/x-www-form-urlencoded' };
  const answer = await http.app.inject({ method: 'POST', url: '/v1/jobs', headers, payload: 'prompt=x' });
  expect([answer.statusCode, answer.json().code]).toEqual([415, 'request.unsupported_media_type']);
  expect(answer.json().detail).toContain('Content-Type: application/json');
});

test.each(['', 'a b', 'x'.repeat(129), 'a\u00e9', '<script>'])(
  'the request id %j is replaced',
  async (given) => {
    await using http = await startHttp();
    const answer = await http.app.inject({ url: '/health', headers: { 'x-request-id': given } });
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  },
);

test('answers cannot be cached, framed or sniffed', async () => {
  await using http = await startHttp();
  for (const url of ['/v1/jobs', '/', '/health', '/openapi.json', '/docs', '/login', '/missing']) {
    expect(
      (await http.app.inject({ url, headers: { ...asAdmin, accept: '*/*' } })).headers,
      url,
    ).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'content-security-policy': expect.stringMatching(
        /^default-src '(none|self)'; (.*; )?base-uri 'none'; form-action '(none|self)'; frame-ancestors 'none'$/,
      ),
    });
  }
});

test.each([
  ['/v1/jobs', 'text/html', 406],
  ['/v1/jobs', 'application/json;q=0', 406],
  ['/v1/jobs', 'application/*', 200],
  ['/v1/jobs', 'text/html, */*;q=0.1', 200],
  ['/v1/jobs', 'application/json;q=nonsense', 406],
  ['/metrics', 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1', 200],
  ['/metrics', 'application/json', 406],
  ['/metrics', 'text/plain;version=0.0.4', 200],
  ['/v1/jobs', 'application/json; charset=utf-8', 200],
  ['/v1/jobs', 'application/json; charset=utf-8; q=0', 406],
  ['/v1/jobs', '', 200],
  ['/', 'image/png', 406],
])('%s for Accept: %s is %i', async (url, accept, status) => {
  await using http = await startHttp();
  const answer = await http.app.inject({ url, headers: { ...asAdmin, accept } });
  expect([answer.statusCode, answer.json !== undefined]).toEqual([status, true]);
});
