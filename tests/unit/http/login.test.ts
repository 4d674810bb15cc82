import { expect, test } from 'vitest';
import { ADMIN_TOKEN, asAdmin, CALLER_TOKEN, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const HOST = 'localhost:80';
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

async function logIn(http: Http, token = ADMIN_TOKEN): Promise<string> {
  const answer = await http.app.inject({ method: 'POST', url: '/login', payload: { token } });
  expect(answer.statusCode).toBe(204);
  return String(answer.headers['set-cookie']).split(';', 1).join('');
}

test('the login page is a small page of its own that leads back', async () => {
  await using http = await startHttp();
  const page = await http.app.inject({ url: '/login?next=%2Fdocs%3Fa%3D1' });
  expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
  expect(page.headers['content-security-policy']).toContain("frame-ancestors 'none'");
  expect(page.body).toContain('<label for="token">');
  expect(page.body).toContain('value="/docs?a=1"');
  expect(page.body).not.toContain('<script');
});

test('a form logs in with a strict cookie that is not the token, and goes on', async () => {
  await using http = await startHttp();
  const payload = new URLSearchParams({ token: ADMIN_TOKEN, next: '/admin/queues' }).toString();
  const answer = await http.app.inject({ method: 'POST', url: '/login', headers: FORM, payload });
  expect([answer.statusCode, answer.headers.location]).toEqual([303, '/admin/queues']);
  const cookie = String(answer.headers['set-cookie']);
  expect(cookie).toMatch(/^bullpen_session=[^;]+; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/);
  expect(cookie).not.toContain(ADMIN_TOKEN);
});

test('a wrong token shows the form its page again, a program the error', async () => {
  await using http = await startHttp();
  const form = await http.app.inject({
    method: 'POST',
    url: '/login',
    headers: FORM,
    payload: 'token=wrong',
  });
  expect(form.statusCode).toBe(401);
  expect(form.body).toContain('role="alert"');
  expect(form.headers['set-cookie']).toBeUndefined();
  const json = await http.app.inject({ method: 'POST', url: '/login', payload: { token: 'wrong' } });
  expect([json.statusCode, json.json().code]).toEqual([401, 'auth.unauthenticated']);
});

test.each([
  '//evil.example',
  '/\\evil.example',
  'https://evil.example',
  'javascript:alert(1)',
  '/\t/evil.example',
  '/.//evil.example',
])('a login never leads to %j', async (next) => {
  await using http = await startHttp();
  const payload = new URLSearchParams({ token: ADMIN_TOKEN, next }).toString();
  const answer = await http.app.inject({ method: 'POST', url: '/login', headers: FORM, payload });
  expect([answer.statusCode, answer.headers.location]).toEqual([303, '/']);
});

test('a login with other fields is 400, and one without any is no login', async () => {
  await using http = await startHttp();
  for (const payload of [{}, { token: 1 }, { token: ADMIN_TOKEN, admin: true }]) {
    expect((await http.app.inject({ method: 'POST', url: '/login', payload })).statusCode).toBe(400);
  }
  expect((await http.app.inject({ method: 'POST', url: '/login' })).statusCode).toBe(401);
});

test('the cookie opens pages and reading, and changes only from this very origin', async () => {
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

test('a login of somebody who is no admin does not open the board', async () => {
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

test('another site can log nobody in or out', async () => {
  await using http = await startHttp();
  for (const url of ['/login', '/logout']) {
    const answer = await http.app.inject({
      method: 'POST',
      url,
      headers: { origin: 'https://evil.example' },
      payload: { token: ADMIN_TOKEN },
    });
    expect([answer.statusCode, answer.headers['set-cookie']], url).toEqual([403, undefined]);
  }
});

test('a browser without a login is sent to the login page and back', async () => {
  await using http = await startHttp();
  for (const url of ['/admin/queues/queue/prompts?page=2', '/docs', '/docs/errors']) {
    const answer = await http.app.inject({ url, headers: { accept: 'text/html,*/*;q=0.8' } });
    expect([answer.statusCode, answer.headers.location]).toEqual([
      303,
      `/login?next=${encodeURIComponent(url)}`,
    ]);
    expect((await http.app.inject({ url })).statusCode).toBe(401);
  }
});
