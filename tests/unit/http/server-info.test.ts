import { expect, test } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { asAdmin, asCaller, startHttp } from './harness.ts';

test('health, readiness and the executor', async () => {
  await using http = await startHttp();
  const get = async (url: string) => {
    const { statusCode, body } = await http.app.inject({ url });
    return [statusCode, JSON.parse(body)];
  };
  const executor = { mode: 'main-process', pendingRequests: 3, running: 2, limit: 4 };
  expect(await get('/health')).toEqual([200, { status: 'ok' }]);
  expect(await get('/ready')).toEqual([
    200,
    {
      ready: true,
      degraded: false,
      checks: { redis: { ok: true, detail: null }, store: { ok: true, detail: null } },
    },
  ]);
  expect(await get('/claude-cli/health')).toEqual([200, { status: 'healthy', ...executor }]);
  http.health.ready = false;
  http.health.healthy = false;
  const [status, body] = await get('/ready');
  expect([status, body.ready, body.checks.redis.detail]).toEqual([503, false, 'cannot be reached']);
  expect(await get('/claude-cli/health')).toEqual([503, { status: 'unhealthy', ...executor }]);
});

test('providers are listed', async () => {
  await using http = await startHttp();
  const answer = await http.app.inject({ url: '/v1/providers', headers: asCaller });
  expect(answer.json()).toEqual({ data: await http.health.providers() });
});

test('an admin sees the settings in force, without secrets', async () => {
  await using http = await startHttp();
  const answer = await http.app.inject({ url: '/v1/settings', headers: asAdmin });
  expect(answer.json().data).toContainEqual({
    ...{ name: 'jwtSecret', variable: 'JWT_SECRET', value: '[redacted]', source: 'file' },
  });
  expect((await http.app.inject({ url: '/v1/settings', headers: asCaller })).statusCode).toBe(403);
});

test('one line per request at debug: the pattern of the route, never the query or a header', async () => {
  await using http = await startHttp();
  http.log.length = 0;
  await http.app.inject({
    url: '/v1/jobs?q=secret-words',
    headers: { ...asCaller, 'x-request-id': 'r1', 'x-secret': 's' },
  });
  expect(http.log.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({
      level: 20,
      requestId: 'r1',
      method: 'GET',
      route: '/v1/jobs',
      status: 200,
      ms: expect.any(Number),
    }),
  ]);
  expect(http.log.join('')).not.toMatch(/secret|bp_/);
});

test('the request of a caller that leaves has its line', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const { id } = await http.make();
  const leave = new AbortController();
  const asked = fetch(`${url}/v1/jobs/${id}?wait=60`, { headers: asCaller, signal: leave.signal });
  await http.jobs.nextWait();
  http.log.length = 0;
  leave.abort();
  await expect(asked).rejects.toThrow();
  const [line = ''] = await eventually(() => (http.log.length > 0 ? http.log : null));
  expect(JSON.parse(line)).toMatchObject({ route: '/v1/jobs/:id', left: true, msg: 'request answered' });
});
