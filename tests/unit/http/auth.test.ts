import { expect, test } from 'vitest';
import { callerOf } from '../../fakes/principals.ts';
import { ADMIN_TOKEN, asAdmin, asCaller, startHttp } from './harness.ts';
import { rawRequest } from './raw-socket.ts';

const PUBLIC = ['/', '/health', '/ready', '/claude-cli/health'];
const CLOSED = [
  '/v1/jobs',
  '/v1/providers',
  '/metrics',
  '/openapi.json',
  '/docs',
  '/docs/errors',
  '/admin/queues',
];

test('the open routes need no token, all others do', async () => {
  await using http = await startHttp();
  for (const url of PUBLIC) expect((await http.app.inject({ url })).statusCode, url).toBe(200);
  for (const url of CLOSED) expect((await http.app.inject({ url })).statusCode, url).toBe(401);
});

test('every wrong way to send a token is the same 401', async () => {
  await using http = await startHttp();
  const ask = (headers: Record<string, string>, url = '/v1/jobs') => http.app.inject({ url, headers });
  const answers = await Promise.all([
    ask({}),
    ask({ authorization: '' }),
    ask({ authorization: 'Bearer ' }),
    ask({ authorization: 'Bearer bp_wrong' }),
    ask({ authorization: `Basic ${ADMIN_TOKEN}` }),
    ask({ authorization: `Bearer ${ADMIN_TOKEN.toUpperCase()}` }),
    ask({ authorization: `Bearer ${'x'.repeat(1024 * 1024)}` }),
    ask({}, `/v1/jobs?token=${ADMIN_TOKEN}`),
    ask({}, `/v1/jobs?access_token=${ADMIN_TOKEN}`),
    ask({ cookie: `bullpen_session=${ADMIN_TOKEN}` }),
  ]);
  for (const answer of answers) {
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="bullpen"');
    const { requestId: _, ...body } = answer.json();
    expect(body).toEqual({
      type: '/docs/errors#auth.unauthenticated',
      title: 'A valid token is needed',
      status: 401,
      code: 'auth.unauthenticated',
      detail: 'send a valid token as "Authorization: Bearer <token>"',
    });
  }
  await ask({ authorization: `Bearer ${ADMIN_TOKEN}` });
  expect(http.counted('bullpen_authentication_failures_total')).toBe(answers.length);
});

test('two Authorization headers are 401, even when one or both are right', async () => {
  await using http = await startHttp();
  const right = `Authorization: Bearer ${ADMIN_TOKEN}`;
  const url = await http.listen();
  for (const other of [right, 'authorization: Bearer bp_wrong']) {
    const answer = await rawRequest(url, [
      'GET /v1/jobs HTTP/1.1',
      'Host: localhost',
      right,
      other,
      'Connection: close',
    ]);
    expect(answer).toContain('HTTP/1.1 401');
  }
});

test('metrics and the board are for admins', async () => {
  await using http = await startHttp();
  for (const url of ['/metrics', '/admin/queues', '/admin/queues/api/queues', '/admin/queues/static/x.js']) {
    const refused = await http.app.inject({ url, headers: asCaller });
    expect([refused.statusCode, refused.json().code], url).toEqual([403, 'auth.forbidden']);
  }
  const metrics = await http.app.inject({ url: '/metrics', headers: asAdmin });
  expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(metrics.body).toContain('bullpen_up 1');
});

test('the job of another principal is 404', async () => {
  await using http = await startHttp();
  const { job } = await http.jobs.create(callerOf('other'), { prompt: 'x' }, null);
  const requests = [
    { method: 'GET', url: `/v1/jobs/${job.id}` },
    { method: 'GET', url: `/v1/jobs/${job.id}/events` },
    { method: 'POST', url: `/v1/jobs/${job.id}/cancel` },
    { method: 'POST', url: `/v1/jobs/${job.id}/retry` },
    { method: 'DELETE', url: `/v1/jobs/${job.id}` },
    { method: 'POST', url: '/v1/stream-tokens', payload: { jobId: job.id } },
  ] as const;
  for (const request of requests) {
    const answer = await http.app.inject({ ...request, headers: asCaller });
    expect([answer.statusCode, answer.json().code], request.url).toEqual([404, 'job.not_found']);
  }
  expect((await http.app.inject({ url: `/v1/jobs/${job.id}`, headers: asAdmin })).statusCode).toBe(200);
});
