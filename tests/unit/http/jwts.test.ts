import { expect, test } from 'vitest';
import { hs256, JWT_SECRET, jwtOf } from '../../fakes/jwts.ts';
import { asAdmin, startHttp } from './harness.ts';

const jwt = { jwtSecret: JWT_SECRET };
const tokenOf = (now: number, claims: object = {}): string =>
  jwtOf(
    { alg: 'HS256' },
    { sub: 'ada', scope: 'jobs:write', iat: now / 1000, exp: now / 1000 + 600, ...claims },
    hs256(JWT_SECRET),
  );

test('the end of a JWT ends its login, its tickets and its open streams', async () => {
  let now = Date.now();
  await using http = await startHttp({ jwt, clocks: { now: () => now } });
  const url = await http.listen();
  const token = tokenOf(now);
  const bearer = { authorization: `Bearer ${token}` };
  const post = (path: string, payload: object) =>
    http.app.inject({ method: 'POST', url: path, headers: bearer, payload });
  const job = (await post('/v1/jobs', { prompt: 'x' })).json();
  const ticketed = (await post('/v1/stream-tokens', { jobId: job.id })).json().url;
  const login = await http.app.inject({ method: 'POST', url: '/login', payload: { token } });
  const [cookie = '', maxAge = ''] = String(login.headers['set-cookie']).split('; ');
  // The cookie lives as long as the JWT and the tolerance for clocks.
  expect(Number(maxAge.split('=')[1])).toBeGreaterThan(600);
  expect(Number(maxAge.split('=')[1])).toBeLessThanOrEqual(615);
  const withCookie = () => http.app.inject({ url: `/v1/jobs/${job.id}`, headers: { cookie } });
  expect((await withCookie()).statusCode).toBe(200);
  const stream = await fetch(url + ticketed);
  const all = await fetch(`${url}/v1/events`, { headers: bearer });
  const poll = fetch(`${url}/v1/jobs/${job.id}?wait=300`, { headers: bearer });
  expect([stream.status, all.status]).toEqual([200, 200]);

  now += 615_000;
  await Promise.all([stream.text(), all.text(), poll]); // they end
  expect((await withCookie()).statusCode).toBe(401);
  expect((await fetch(url + ticketed)).status).toBe(401);
  expect((await http.app.inject({ url: '/v1/jobs', headers: bearer })).statusCode).toBe(401);
});

test('a caller learns what the server makes of its token', async () => {
  const now = 1_795_950_000_000;
  await using http = await startHttp({ jwt, clocks: { now: () => now } });
  const ask = async (token: string) =>
    (await http.app.inject({ url: '/v1/me', headers: { authorization: `Bearer ${token}` } })).json();
  expect(await ask(tokenOf(now, { project: 'web', scope: 'openid jobs:write' }))).toMatchObject({
    ...{ principal: 'jwt:ada', project: 'web', scopes: ['jobs:write'], providers: null },
    ...{ jobsPerHour: 10, maxRunning: 2, usdPerDay: null },
    expiresAt: '2026-11-29T11:10:15.000Z',
  });
  const payload = { name: 'ci', scopes: ['jobs:read'], roots: ['/srv/web'], maxRunning: 2 };
  const created = await http.app.inject({ method: 'POST', url: '/v1/keys', headers: asAdmin, payload });
  const { id, token } = created.json();
  expect(await ask(token)).toEqual({
    ...{ principal: `key:${id}`, project: 'default', scopes: ['jobs:read'], expiresAt: null },
    ...{ providers: null, roots: ['/srv/web'], tools: null, permissionModes: null },
    ...{ requestsPerMinute: null, jobsPerHour: null, maxQueued: null, maxRunning: 2, usdPerDay: null },
  });
});

test('a login by a JWT opens the board and the pages, with the scope admin; a long one fits the cookie', async () => {
  const now = Date.now();
  await using http = await startHttp({ jwt });
  const scope =
    'jobs:read jobs:write sessions:read sessions:write terminals approvals:read approvals:decide schedules:write webhooks:write usage:read metrics:read audit:read';
  const longest = { sub: 's'.repeat(255), project: 'p'.repeat(64) };
  for (const [claims, board] of [
    [{ ...longest, scope }, 403],
    [{ ...longest, scope: `${scope} admin` }, 200],
  ] as const) {
    const payload = new URLSearchParams({ token: tokenOf(now, claims) }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const login = await http.app.inject({ method: 'POST', url: '/login', headers, payload });
    expect(login.statusCode).toBe(303);
    const cookie = String(login.headers['set-cookie']).split(';')[0] ?? '';
    const ask = async (url: string) => (await http.app.inject({ url, headers: { cookie } })).statusCode;
    expect([await ask('/admin/queues'), await ask('/docs'), await ask('/v1/jobs')]).toEqual([
      board,
      200,
      200,
    ]);
  }
});

test('after many wrong tokens an address gets 429 with a time, except for what was right there', async () => {
  let elapsed = 0;
  const clocks = { elapsed: () => elapsed };
  await using http = await startHttp({ jwt, clocks, guesses: 5, place: { trustProxy: ['127.0.0.1'] } });
  const key = async () => {
    const payload = { name: 'ci', scopes: ['jobs:read'] };
    return (await http.app.inject({ method: 'POST', url: '/v1/keys', headers: asAdmin, payload })).json();
  };
  const ask = (token: string, from = '10.0.0.1') =>
    http.app.inject({
      url: '/v1/jobs',
      headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': from },
    });
  const statusOf = async (token: string, from?: string) => (await ask(token, from)).statusCode;
  const [used, unused] = [await key(), await key()];
  const person = tokenOf(Date.now());
  expect(await statusOf(used.token)).toBe(200);

  const statuses: number[] = [];
  for (let count = 0; count < 8; count += 1) statuses.push(await statusOf(`wrong${count}`));
  expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
  const refused = await ask(person);
  expect([refused.statusCode, refused.headers['retry-after'], refused.json()]).toMatchObject([
    ...[429, '3'],
    { code: 'auth.too_many_attempts', detail: expect.stringContaining('wait 3 s') },
  ]);
  expect(http.counted('bullpen_guesses_refused_total')).toBe(4);
  // A key that was used from there, a key without guesses, and other addresses go on.
  expect([await statusOf(used.token), await statusOf(unused.token)]).toEqual([200, 200]);
  expect([await statusOf(person, '10.0.0.2'), await statusOf('wrong', '10.0.0.2')]).toEqual([200, 401]);
  elapsed += 3000;
  expect(await statusOf(person)).toBe(200);

  // The same at the login page, by loopback, where the admin token always passes.
  const logIn = (token: string) =>
    http.app.inject({
      method: 'POST',
      url: '/login',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ token }).toString(),
    });
  for (let count = 0; count < 5; count += 1) expect((await logIn(`wrong${count}`)).statusCode).toBe(401);
  const page = await logIn('wrong');
  expect([page.statusCode, page.headers['retry-after']]).toEqual([429, '3']);
  expect(page.body).toContain('Too many wrong tokens came from this address, or for this key; wait 3 s.');
  expect((await http.app.inject({ url: '/v1/jobs', headers: asAdmin })).statusCode).toBe(200);
});

test('what is no guess does not count: no token, an old cookie, an expired JWT, a revoked key', async () => {
  const now = Date.now();
  await using http = await startHttp({ jwt, guesses: 1 });
  const payload = { name: 'ci', scopes: ['jobs:read'] };
  const key = await http.app.inject({ method: 'POST', url: '/v1/keys', headers: asAdmin, payload });
  const { id, token } = key.json();
  await http.app.inject({ method: 'POST', url: `/v1/keys/${id}/revoke`, headers: asAdmin });
  const expired = tokenOf(now, { iat: now / 1000 - 600, exp: now / 1000 - 300 });
  for (const headers of [
    {},
    { cookie: 'bullpen_session=old' },
    { authorization: `Bearer ${token}` },
    { authorization: `Bearer ${expired}` },
    { authorization: 'Basic abc' },
    { authorization: 'Bearer wrong' },
  ])
    expect((await http.app.inject({ url: '/v1/jobs', headers })).statusCode).toBe(401);
  const headers = { authorization: 'Bearer wrong' };
  expect((await http.app.inject({ url: '/v1/jobs', headers })).statusCode).toBe(429);
});
