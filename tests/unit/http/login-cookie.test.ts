import { expect, test } from 'vitest';
import { ADMIN_TOKEN, asAdmin, CALLER_TOKEN, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const HOST = 'localhost:80';

async function logIn(http: Http, token = ADMIN_TOKEN): Promise<string> {
  const answer = await http.app.inject({ method: 'POST', url: '/login', payload: { token } });
  expect(answer.statusCode).toBe(204);
  return String(answer.headers['set-cookie']).split(';', 1).join('');
}

test('the cookie is valid for reading, and for changes from the same origin only', async () => {
  await using http = await startHttp();
  const cookie = await logIn(http);
  const ask = (method: 'GET' | 'POST', url: string, headers: Record<string, string> = {}) =>
    http.app
      .inject({
        method,
        url,
        headers: { host: HOST, cookie, ...headers },
        ...(method === 'POST' ? { payload: { prompt: 'x' } } : {}),
      })
      .then(({ statusCode }) => statusCode);

  for (const url of ['/v1/jobs', '/docs', '/openapi.json', '/admin/queues']) {
    expect(await ask('GET', url), url).toBe(200);
    expect(await ask('GET', url, { 'sec-fetch-site': 'none' }), url).toBe(200);
    expect(await ask('GET', url, { 'sec-fetch-site': 'same-site' }), url).toBe(403);
    expect(await ask('GET', url, { 'sec-fetch-site': 'cross-site' }), url).toBe(403);
    expect(await ask('GET', url, { origin: 'http://localhost:8080' }), url).toBe(403);
  }
  expect(await ask('POST', '/v1/jobs')).toBe(403);
  expect(await ask('POST', '/v1/jobs', { 'sec-fetch-site': 'none' })).toBe(403);
  expect(await ask('POST', '/v1/jobs', { origin: 'null' })).toBe(403);
  expect(await ask('POST', '/v1/jobs', { origin: 'http://localhost.evil.example' })).toBe(403);
  expect(await ask('POST', '/v1/jobs', { origin: 'http://localhost', host: 'localhost' })).toBe(202);
  expect(await ask('POST', '/v1/jobs', { 'sec-fetch-site': 'same-origin' })).toBe(202);
});

test('the Authorization header wins over the cookie', async () => {
  await using http = await startHttp();
  const cookie = await logIn(http);
  const wrong = await http.app.inject({
    url: '/v1/jobs',
    headers: { cookie, authorization: 'Bearer bp_wrong' },
  });
  expect(wrong.statusCode).toBe(401);
  const right = await http.app.inject({
    method: 'POST',
    url: '/v1/jobs',
    headers: { ...asAdmin, cookie, origin: 'https://evil.example' },
    payload: { prompt: 'x' },
  });
  expect(right.statusCode).toBe(202);
});

test('the login of a caller who is no admin does not open the board', async () => {
  await using http = await startHttp();
  const cookie = await logIn(http, CALLER_TOKEN);
  expect((await http.app.inject({ url: '/admin/queues', headers: { cookie } })).statusCode).toBe(403);
  expect((await http.app.inject({ url: '/v1/jobs', headers: { cookie } })).statusCode).toBe(200);
});

test('a logout ends the cookie and its copies', async () => {
  await using http = await startHttp();
  const cookie = await logIn(http);
  const out = await http.app.inject({ method: 'POST', url: '/logout', headers: { cookie } });
  expect(out.statusCode).toBe(204);
  expect(String(out.headers['set-cookie'])).toContain('bullpen_session=;');
  expect((await http.app.inject({ url: '/v1/jobs', headers: { cookie } })).statusCode).toBe(401);
});
