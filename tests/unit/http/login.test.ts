import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { ADMIN_TOKEN, startHttp } from './harness.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

test('the login page loads nothing else and leads back', async () => {
  await using http = await startHttp();
  const page = await http.app.inject({ url: '/login?next=%2Fdocs%3Fa%3D1' });
  expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
  const [, style = ''] = /<style>(.*)<\/style>/s.exec(page.body) ?? [];
  const hash = createHash('sha256').update(style).digest('base64');
  expect(page.headers['content-security-policy']).toBe(
    `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
  );
  expect(page.body).toContain('<label for="token">');
  expect(page.body).toContain('value="/docs?a=1"');
  expect(page.body).not.toContain('<script');
});

test('a form gets a strict cookie that is not the token, and a redirect', async () => {
  await using http = await startHttp();
  const payload = new URLSearchParams({ token: ADMIN_TOKEN, next: '/admin/queues' }).toString();
  const answer = await http.app.inject({ method: 'POST', url: '/login', headers: FORM, payload });
  expect([answer.statusCode, answer.headers.location]).toEqual([303, '/admin/queues']);
  const cookie = String(answer.headers['set-cookie']);
  expect(cookie).toMatch(/^bullpen_session=[^;]+; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/);
  expect(cookie).not.toContain(ADMIN_TOKEN);
});

test('a wrong token is the login page for a form and the error for a program', async () => {
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

test('a login with other fields is 400, and one without a body is 401', async () => {
  await using http = await startHttp();
  for (const payload of [{}, { token: 1 }, { token: ADMIN_TOKEN, admin: true }]) {
    expect((await http.app.inject({ method: 'POST', url: '/login', payload })).statusCode).toBe(400);
  }
  expect((await http.app.inject({ method: 'POST', url: '/login' })).statusCode).toBe(401);
});

test('another site cannot log a browser in or out', async () => {
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
