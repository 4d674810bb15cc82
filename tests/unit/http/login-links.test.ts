import { expect, test } from 'vitest';
import { NO_LIMITS } from '../../../src/protocol/grant.ts';
import { asAdmin, asCaller, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;

const make = ({ app }: Http, headers: Readonly<Record<string, string>> = asAdmin) =>
  app.inject({ method: 'POST', url: '/v1/login-links', headers });
const logIn = ({ app }: Http, link: string) =>
  app.inject({ method: 'POST', url: '/login', payload: { link } });
const whoIs = async ({ app }: Http, cookie: string): Promise<string> =>
  (await app.inject({ url: '/v1/me', cookies: { bullpen_session: cookie } })).json().principal;

test('a link logs a browser in as the caller that made it, once', async () => {
  await using http = await startHttp();
  const made = await make(http, asCaller);
  expect([made.statusCode, made.headers['cache-control']]).toEqual([201, 'no-store']);
  const { code, expiresAt } = made.json();
  expect(code).toMatch(/^[\w-]{43}$/);
  expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(50_000);
  const login = await logIn(http, code);
  expect(login.statusCode).toBe(204);
  expect(login.cookies[0]).toMatchObject({ name: 'bullpen_session', httpOnly: true, sameSite: 'Strict' });
  expect(await whoIs(http, login.cookies[0]?.value ?? '')).toBe('caller');
  const again = await logIn(http, code);
  expect([again.statusCode, again.json().code]).toEqual([401, 'auth.unauthenticated']);
  expect(again.json().detail).toMatch(/used before or is older than a minute/);
  expect(again.cookies).toEqual([]);
  expect(http.log.join('')).not.toContain(code);
  expect(http.audit.noted.map(({ action }) => action)).toEqual(['login.created', 'login.refused']);
});

test('a link is too old after a minute', async () => {
  let now = Date.parse('2026-11-21T12:00:00Z');
  await using http = await startHttp({ clocks: { now: () => now } });
  const [one, other] = [(await make(http)).json(), (await make(http)).json()];
  expect(one.expiresAt).toBe('2026-11-21T12:01:00.000Z');
  now += 59_999;
  expect((await logIn(http, one.code)).statusCode).toBe(204);
  now += 1;
  expect((await logIn(http, other.code)).statusCode).toBe(401);
});

test('a link of a key that was revoked meanwhile is worth nothing', async () => {
  await using http = await startHttp();
  const request = { name: 'ci', scopes: ['jobs:read'] };
  const key = (
    await http.app.inject({ method: 'POST', url: '/v1/keys', headers: asAdmin, payload: request })
  ).json();
  const { code } = (await make(http, { authorization: `Bearer ${key.token}` })).json();
  await http.app.inject({ method: 'POST', url: `/v1/keys/${key.id}/revoke`, headers: asAdmin });
  expect((await logIn(http, code)).statusCode).toBe(401);
});

test('a login makes no link, so that it ends with its logout', async () => {
  await using http = await startHttp();
  const login = await logIn(http, (await make(http)).json().code);
  const cookie = `bullpen_session=${login.cookies[0]?.value}`;
  const answer = await make(http, { cookie, 'sec-fetch-site': 'same-origin' });
  expect([answer.statusCode, answer.json().code]).toEqual([403, 'auth.forbidden']);
  expect((await make(http, {})).statusCode).toBe(401);
});

test('a job makes no link with its own token', async () => {
  await using http = await startHttp();
  const grant = { ...{ providers: null, roots: null, tools: null, permissionModes: null }, depth: 0 };
  const scopes = ['jobs:read', 'jobs:write'];
  const job = { jobId: '01K9ZV4Q4PPJ6S5V6H9Y1C3D2E', executionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C' };
  const running = { ...job, project: 'default', grant: { ...grant, ...NO_LIMITS, scopes, key: null } };
  http.running.push(running);
  const variables = await http.jobTokens.variables(running);
  const token = variables?.['BULLPEN_JOB_TOKEN'] ?? expect.unreachable();
  const answer = await make(http, { authorization: `Bearer ${token}` });
  expect([answer.statusCode, answer.json().code]).toEqual([403, 'auth.forbidden']);
});

test('made-up codes count as wrong tokens, and do not keep the right one out', async () => {
  await using http = await startHttp({ guesses: 3 });
  const { code } = (await make(http)).json();
  const statuses: number[] = [];
  for (let i = 0; i < 4; i += 1) statuses.push((await logIn(http, `made-up-${i}`)).statusCode);
  expect(statuses).toEqual([401, 401, 401, 429]);
  expect((await logIn(http, code)).statusCode).toBe(204);
});

test('a login takes either a token or a link', async () => {
  await using http = await startHttp();
  const { code } = (await make(http)).json();
  const both = { token: asAdmin.authorization.slice(7), link: code };
  const answer = await http.app.inject({ method: 'POST', url: '/login', payload: both });
  expect(answer.statusCode).toBe(400);
  expect((await logIn(http, code)).statusCode).toBe(204);
});

test('another site cannot log a browser in with a link', async () => {
  await using http = await startHttp();
  const { code } = (await make(http)).json();
  const headers = { origin: 'https://evil.example' };
  const answer = await http.app.inject({ method: 'POST', url: '/login', headers, payload: { link: code } });
  expect(answer.statusCode).toBe(403);
});

test('the login page says why a link was refused', async () => {
  await using http = await startHttp();
  const page = await http.app.inject({ url: '/login?refused=link&next=%2Fjobs' });
  expect(page.statusCode).toBe(200);
  expect(page.body).toContain('role="alert"');
  expect(page.body).toContain('older than a minute');
  expect(page.body).toContain('value="/jobs"');
  expect((await http.app.inject({ url: '/login?refused=other' })).statusCode).toBe(400);
});
