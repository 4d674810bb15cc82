import { expect, test } from 'vitest';
import { shownOf } from '../../../src/http/routes/board.ts';
import { succeededWith } from '../../fakes/job-samples.ts';
import { ADMIN_TOKEN, asAdmin, asCaller, startHttp } from './harness.ts';
import { rawRequest } from './raw-socket.ts';

const PATHS = [
  '/admin/queues',
  '/admin/queues/',
  '/admin/queues/queue/prompts',
  '/admin/queues/queue/prompts/1',
  '/admin/queues/api/queues',
  '/admin/queues/api/redis/stats',
  '/admin/queues/api/queues/prompts/1',
  '/admin/queues/static/images/logo.svg',
  '/admin/queues/nothing/here',
  '/admin/queues//api/queues',
];

test.each(PATHS)('%s is for admins only, with every method', async (url) => {
  await using http = await startHttp();
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const) {
    expect((await http.app.inject({ method, url })).statusCode, method).toBe(401);
    expect((await http.app.inject({ method, url, headers: asCaller })).statusCode, method).toBe(403);
  }
});

test('an admin sees the page, its files and its data', async () => {
  await using http = await startHttp();
  const get = (url: string) => http.app.inject({ url, headers: asAdmin });
  const page = await get('/admin/queues');
  expect(page.statusCode).toBe(200);
  expect(page.body).toContain('<base href="/admin/queues/"');
  expect(page.headers).toMatchObject({
    'content-security-policy': expect.stringMatching(/^default-src 'self';.*frame-ancestors 'none'$/),
    'x-content-type-options': 'nosniff',
    'x-request-id': expect.any(String),
    'cache-control': 'no-store',
  });
  expect(page.body.match(/(src|href)="(https?:)?\/\/[^"]*/g)).toBeNull(); // nothing of a third party is asked for
  const script = /src="([^"]+\.js)"/.exec(page.body)?.[1] ?? '';
  const file = await get(new URL(script, 'http://x/admin/queues/').pathname);
  expect([file.statusCode, file.headers['content-type']]).toEqual([
    200,
    expect.stringContaining('javascript'),
  ]);
  expect((await get('/admin/queues/api/queues')).json()).toEqual({ queues: [] });
});

test.each([
  '/admin/queues/static/../../../package.json',
  '/admin/queues/static/%2e%2e/%2e%2e/package.json',
  '/admin/queues/../queues/api/queues',
  '//admin/queues/api/queues',
])('the raw path %s leads to nothing', async (path) => {
  await using http = await startHttp();
  const url = await http.listen();
  const lines = [`GET ${path} HTTP/1.1`, 'Host: localhost', 'Connection: close'];
  expect(await rawRequest(url, lines)).toMatch(/^HTTP\/1\.1 40[14] /);
  const admin = await rawRequest(url, [...lines, `Authorization: Bearer ${ADMIN_TOKEN}`]);
  expect(admin).toMatch(/^HTTP\/1\.1 40[34] /);
});

test('the board changes nothing', async () => {
  await using http = await startHttp();
  for (const [method, path] of [
    ['PUT', 'queues/prompts/pause'],
    ['PUT', 'queues/prompts/obliterate'],
    ['POST', 'queues/prompts/add'],
    ['PUT', 'queues/prompts/1/retry/failed'],
    ['DELETE', 'queues/prompts/1'],
  ] as const) {
    const answer = await http.app.inject({ method, url: `/admin/queues/api/${path}`, headers: asAdmin });
    expect([answer.statusCode, answer.headers.allow]).toEqual([405, 'GET, HEAD']);
  }
});

test('a job is shown with its first words, its state and its error, and without its other texts', async () => {
  await using http = await startHttp();
  const job = { ...(await http.make(`Fix\n  the ${'x'.repeat(1000)} secret`)), priority: -3, attempts: 2 };
  const outcome = {
    ...succeededWith('the secret answer'),
    error: { code: 'execution.crashed', message: 'y'.repeat(1000), retryable: false, resetsAt: null },
  };
  const shown = shownOf({ ...job, status: 'failed', outcome });
  expect(shown).toMatchObject({
    name: expect.stringMatching(/^claude · Fix the x+…$/),
    data: { provider: 'claude', job: `/v1/jobs/${job.id}` },
    progress: { status: 'failed', attempts: 2 },
    failedReason: expect.stringMatching(/^execution\.crashed: y+…$/),
    priority: -3,
  });
  expect(JSON.stringify(shown)).not.toContain('secret');
  expect(JSON.stringify(shown).length).toBeLessThan(1200);
  expect(shownOf(job)).toMatchObject({
    failedReason: '',
    returnvalue: null,
    progress: { status: job.status },
  });
  const createdAt = '2026-11-21T12:00:00.000Z';
  const limit = { waitReason: 'quota', scheduledFor: '2026-11-21T12:01:00.000Z' } as const;
  expect(shownOf({ ...job, ...limit, createdAt, status: 'scheduled' })).toMatchObject({
    ...{ timestamp: Date.parse(createdAt), delay: 60_000, opts: { delay: 60_000 } },
    progress: { status: 'scheduled', ...limit },
  });
  expect(shownOf({ ...job, status: 'queued', waitReason: 'session' })).toMatchObject({ delay: 0 });
  expect(shownOf(null)).toMatchObject({ name: 'a job that is gone', data: {}, failedReason: '' });
});
