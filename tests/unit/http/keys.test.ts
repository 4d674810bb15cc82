import { expect, test } from 'vitest';
import { NO_LIMITS } from '../../../src/protocol/grant.ts';
import { eventually } from '../../helpers/eventually.ts';
import { dialLive } from '../../helpers/live-client.ts';
import { ADMIN_TOKEN, asAdmin, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const post = ({ app }: Http, url: string, payload: object = {}, headers = {}) =>
  app.inject({ method: 'POST', url, headers: { ...asAdmin, ...headers }, payload });
const get = ({ app }: Http, url: string, token: string) =>
  app.inject({ url, headers: { authorization: `Bearer ${token}` } });

const REQUEST = { name: 'ci', project: 'web', scopes: ['jobs:write'] };

test('a key is shown once with its token, and listed without it', async () => {
  await using http = await startHttp();
  const made = await post(http, '/v1/keys', REQUEST);
  expect([made.statusCode, made.headers['cache-control']]).toEqual([201, 'no-store']);
  const { token, ...key } = made.json();
  expect(key).toEqual({
    ...{ ...REQUEST, id: expect.stringMatching(/^[0-9A-Z]{26}$/), status: 'active', createdBy: 'admin' },
    ...{ createdAt: expect.any(String), expiresAt: null, revokedAt: null, lastUsedAt: null },
    ...{ providers: null, roots: null, tools: null, permissionModes: null, ...NO_LIMITS },
  });
  expect(token).toMatch(new RegExp(`^bp_${key.id}_[\\w-]{43}$`));
  expect((await get(http, '/v1/jobs', token)).statusCode).toBe(200);
  const list = await http.app.inject({ url: '/v1/keys', headers: asAdmin });
  expect(list.json()).toEqual({ data: [{ ...key, lastUsedAt: expect.any(String) }], nextCursor: null });
  const stored = JSON.stringify([...http.keyRecords.stored.values()]);
  for (const text of [stored, list.body, http.log.join('')]) expect(text).not.toContain(token.slice(30));
});

test('a key shows what it is limited to, which its token has, also through a login', async () => {
  await using http = await startHttp();
  const roots = Array.from({ length: 32 }, (_, at) => `/${at}${'x'.repeat(1000)}`);
  const grant = { providers: ['claude'], roots, tools: [], permissionModes: ['plan' as const] };
  const limits = { ...NO_LIMITS, requestsPerMinute: 60, usdPerDay: 0.5 };
  const { token, ...key } = (await post(http, '/v1/keys', { ...REQUEST, ...grant, ...limits })).json();
  expect(key).toMatchObject({ ...grant, ...limits });
  expect(http.keys.find(token)).toMatchObject({ grant: { ...grant, depth: 0 }, limits, expiresAt: null });
  const rotated = (await post(http, `/v1/keys/${key.id}/rotate`)).json();
  expect(rotated).toMatchObject({ ...grant, ...limits });
  const login = await http.app.inject({ method: 'POST', url: '/login', payload: { token: rotated.token } });
  const cookie = login.cookies[0]?.value ?? '';
  expect(cookie.length).toBeLessThan(2048);
  expect((await http.app.inject({ url: '/v1/jobs', cookies: { bullpen_session: cookie } })).statusCode).toBe(
    200,
  );
});

test('a rotated key has another token, a revoked one has none', async () => {
  await using http = await startHttp();
  const { id, token } = (await post(http, '/v1/keys', REQUEST)).json();
  const rotated = (await post(http, `/v1/keys/${id}/rotate`)).json();
  expect(rotated).toMatchObject({ ...REQUEST, id, status: 'active' });
  expect((await get(http, '/v1/jobs', token)).statusCode).toBe(401);
  expect((await get(http, '/v1/jobs', rotated.token)).statusCode).toBe(200);
  const revoked = await post(http, `/v1/keys/${id}/revoke`);
  expect(revoked.json()).toMatchObject({ id, status: 'revoked', revokedAt: expect.any(String) });
  expect((await post(http, `/v1/keys/${id}/revoke`)).json()).toEqual(revoked.json());
  expect((await get(http, '/v1/jobs', rotated.token)).statusCode).toBe(401);
  const again = await post(http, `/v1/keys/${id}/rotate`);
  expect([again.statusCode, again.json().code]).toEqual([409, 'key.not_active']);
  const none = await post(http, '/v1/keys/01K9ZV4Q4S9V0M0X2T6D8Y3B7C/revoke');
  expect([none.statusCode, none.json().code]).toEqual([404, 'key.not_found']);
});

test('a repeated request with an Idempotency-Key makes one key and shows its token once', async () => {
  await using http = await startHttp();
  const headers = { 'idempotency-key': 'k' };
  const first = (await post(http, '/v1/keys', REQUEST, headers)).json();
  const second = await post(http, '/v1/keys', REQUEST, headers);
  expect([second.headers['idempotent-replayed'], second.json()]).toEqual(['true', { ...first, token: null }]);
  const other = await post(http, '/v1/keys', { ...REQUEST, name: 'x' }, headers);
  expect([other.statusCode, other.json().code]).toEqual([422, 'idempotency.key_reused']);
});

test.each([
  [{ ...REQUEST, scopes: [] }],
  [{ ...REQUEST, scopes: ['jobs'] }],
  [{ ...REQUEST, name: '' }],
  [{ ...REQUEST, project: 'Web' }],
  [{ ...REQUEST, project: 'a:b' }],
  [{ ...REQUEST, expiresAt: '2020-01-01T00:00:00Z' }],
  [{ ...REQUEST, expiresAt: 'tomorrow' }],
  [{ ...REQUEST, maxRunning: 0 }],
  [{ ...REQUEST, maxRunning: '2' }],
  [{ ...REQUEST, jobsPerHour: 1.5 }],
  [{ ...REQUEST, usdPerDay: 0 }],
  [{ ...REQUEST, providers: [] }],
  [{ ...REQUEST, roots: ['work'] }],
  [{ ...REQUEST, tools: ['Bash(a,b)'] }],
  [{ ...REQUEST, permissionModes: ['yolo'] }],
  [{ ...REQUEST, depth: 1 }],
  [{ scopes: ['admin'] }],
])('%j is no request for a key', async (request) => {
  await using http = await startHttp();
  const answer = await post(http, '/v1/keys', request);
  expect([answer.statusCode, answer.json().code]).toEqual([400, 'request.invalid']);
});

test('the revocation of a key ends its login, its tickets and its open streams', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const { id, token } = (await post(http, '/v1/keys', REQUEST)).json();
  const bearer = { authorization: `Bearer ${token}` };
  const job = (
    await http.app.inject({ method: 'POST', url: '/v1/jobs', headers: bearer, payload: { prompt: 'x' } })
  ).json();
  const login = await http.app.inject({ method: 'POST', url: '/login', payload: { token } });
  const cookie = String(login.headers['set-cookie']).split(';')[0] ?? '';
  const payload = { jobId: job.id };
  const ticketed = (
    await http.app.inject({ method: 'POST', url: '/v1/stream-tokens', headers: bearer, payload })
  ).json().url;
  const withCookie = () => http.app.inject({ url: `/v1/jobs/${job.id}`, headers: { cookie } });
  expect((await withCookie()).statusCode).toBe(200);
  const stream = await fetch(url + ticketed);
  const all = await fetch(`${url}/v1/events`, { headers: bearer });
  const admin = await fetch(`${url}/v1/events`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  expect([stream.status, all.status, admin.status]).toEqual([200, 200, 200]);

  await post(http, `/v1/keys/${id}/revoke`);
  await Promise.all([stream.text(), all.text()]); // they end
  expect((await withCookie()).statusCode).toBe(401);
  expect((await fetch(url + ticketed)).status).toBe(401);
  await admin.body?.cancel();
});

test('without news from Redis what a key has opened is not known to be over: it may come back', async () => {
  let elapsed = 0;
  await using http = await startHttp({ clocks: { elapsed: () => elapsed } });
  const url = await http.listen();
  const { token } = (await post(http, '/v1/keys', REQUEST)).json();
  const bearer = { authorization: `Bearer ${token}` };
  const logIn = (payload: object) => http.app.inject({ method: 'POST', url: '/login', payload });
  const cookie = String((await logIn({ token })).headers['set-cookie']).split(';')[0] ?? '';
  const made = await http.app.inject({ method: 'POST', url: '/v1/login-links', headers: bearer });
  const link = { link: made.json().code };
  using live = await dialLive(url, { transport: 'websocket', headers: bearer });
  const stream = await fetch(`${url}/v1/events`, { headers: bearer });

  http.keyRecords.failure = new Error('Redis is away');
  elapsed = 30_001;
  expect(await live.ask({ type: 'command', data: { command: 'subscribe' } })).toMatchObject({
    data: { code: 'redis.unavailable' },
  });
  expect(await live.ended).toBe(1001);
  await stream.text(); // it ends
  const withCookie = () => http.app.inject({ url: '/v1/jobs', headers: { cookie } });
  for (const answer of [await withCookie(), await logIn(link)])
    expect([answer.statusCode, answer.json().code]).toEqual([503, 'redis.unavailable']);
  http.keyRecords.failure = null;
  await eventually(async () => (await withCookie()).statusCode === 200);
  expect((await logIn(link)).statusCode).toBe(204);
});

test('without news from Redis for half a minute a key is refused, the admin token is not', async () => {
  let elapsed = 0;
  await using http = await startHttp({ clocks: { elapsed: () => elapsed } });
  const { token } = (await post(http, '/v1/keys', REQUEST)).json();
  http.keyRecords.failure = new Error('Redis is away');
  elapsed = 30_001;
  const refused = await get(http, '/v1/jobs', token);
  expect([refused.statusCode, refused.json().code]).toEqual([503, 'redis.unavailable']);
  expect((await get(http, '/v1/jobs', `${token.slice(0, -3)}xxx`)).statusCode).toBe(401);
  expect((await get(http, '/v1/jobs', ADMIN_TOKEN)).statusCode).toBe(200);
  http.keyRecords.failure = null;
  await eventually(async () => (await get(http, '/v1/jobs', token)).statusCode === 200);
});
