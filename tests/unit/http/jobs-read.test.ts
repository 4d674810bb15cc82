import { afterAll, beforeAll, expect, test } from 'vitest';
import { wireError } from '../../../src/errors.ts';
import { jobOutcome } from '../../../src/protocol/outcome.ts';
import { callerOf } from '../../fakes/principals.ts';
import { asCaller, startHttp } from './harness.ts';

/** For questions that change nothing. */
let shared: Awaited<ReturnType<typeof startHttp>>;
beforeAll(async () => {
  shared = await startHttp();
});
afterAll(() => shared.app.close());

test('a job is read with every field, null where unset', async () => {
  await using http = await startHttp();
  const job = http.jobs.finish((await http.make()).id, {
    status: 'succeeded',
    executionId: null,
    provider: null,
    credential: null,
    model: null,
    text: 'ok',
    textTruncated: false,
    structured: { list: [1, null, { deep: true }], nothing: null },
    sessionId: null,
    nativeSessionId: null,
    turns: null,
    durationMs: null,
    exit: { code: 0, signal: null },
    permissionDenials: [{ tool: 'Bash', input: { command: ['rm', null] } }],
    usage: null,
    error: null,
  });
  const answer = await http.app.inject({ url: `/v1/jobs/${job.id}`, headers: asCaller });
  expect(answer.statusCode).toBe(200);
  expect(answer.json()).toEqual(job);
});

test('the executions of a job are read with every field; of another job, and with a query, they are refused', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  const running = {
    id: 'E2',
    attempt: 2,
    status: 'running',
    node: 'N',
    provider: null,
    credential: null,
  } as const;
  const open = { nativeSessionId: null, startedAt: null, endedAt: null, usage: null, outcome: null };
  const outcome = { ...jobOutcome('failed', wireError('execution.lost', 'gone')), executionId: 'E1' };
  const lost = {
    ...running,
    ...open,
    id: 'E1',
    attempt: 1,
    status: 'failed',
    endedAt: 'then',
    outcome,
  } as const;
  http.jobs.ran.push(lost, { ...running, ...open });
  const read = (path: string) => http.app.inject({ url: `/v1/jobs/${path}`, headers: asCaller });
  expect((await read(`${id}/executions`)).json()).toEqual({ data: http.jobs.ran, nextCursor: null });
  expect((await read(`${id}/executions?limit=1`)).statusCode).toBe(400);
  const { job } = await http.jobs.create(callerOf('other'), { prompt: 'x' }, null);
  expect((await read(`${job.id}/executions`)).json().code).toBe('job.not_found');
});

test('?wait answers when the job ends or the time is over', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  const early = await http.app.inject({ url: `/v1/jobs/${id}?wait=0.01`, headers: asCaller });
  expect([early.statusCode, early.json().finished]).toEqual([200, false]);
  const asked = http.app.inject({ url: `/v1/jobs/${id}?wait=300`, headers: asCaller }).then((a) => a);
  await http.jobs.nextWait();
  http.jobs.finish(id);
  expect((await asked).json().finished).toBe(true);
});

test.each(['-1', '301', 'x', '', 'NaN', 'Infinity', '1e9', 'true', '0x10', '%201', '1,2'])(
  '?wait=%s is 400',
  async (wait) => {
    const { id } = await shared.make();
    const answer = await shared.app.inject({ url: `/v1/jobs/${id}?wait=${wait}`, headers: asCaller });
    expect(answer.statusCode).toBe(400);
  },
);

test.each([
  '1',
  '0',
  'x',
  '..%2F..%2Fetc',
  '*',
  '%00',
  ':',
  'a:b',
  '01J0000000000000000000000',
  '01j00000000000000000000000',
  'x'.repeat(300),
  'x'.repeat(10_000),
])('the id %s is a job that is not there', async (id) => {
  for (const [method, path] of [
    ['GET', ''],
    ['GET', '/events'],
    ['POST', '/cancel'],
    ['POST', '/retry'],
    ['DELETE', ''],
  ] as const) {
    const answer = await shared.app.inject({ method, url: `/v1/jobs/${id}${path}`, headers: asCaller });
    expect(answer.statusCode).toBe(404);
    expect(answer.headers['content-type']).toBe('application/problem+json');
  }
});

test('the list accepts filters repeated or separated by commas', async () => {
  await using http = await startHttp();
  const query =
    'status=queued&status=running&provider=claude,codex&model=opus,sonnet&waitReason=quota,backoff&errorCode=queue.expired,execution.lost&session=s1&project=web&principal=bob&archived=false&tag=a&createdAfter=2026-01-01T00:00:00Z&q=hello%20there&limit=100&cursor=abc';
  const answer = await http.app.inject({ url: `/v1/jobs?${query}`, headers: asCaller });
  expect(answer.json()).toEqual({ data: [], nextCursor: null });
  expect(http.jobs.queries).toEqual([
    {
      status: ['queued', 'running'],
      provider: ['claude', 'codex'],
      model: ['opus', 'sonnet'],
      waitReason: ['quota', 'backoff'],
      errorCode: ['queue.expired', 'execution.lost'],
      session: 's1',
      project: 'web',
      principal: 'bob',
      archived: false,
      tag: ['a'],
      createdAfter: '2026-01-01T00:00:00Z',
      q: 'hello there',
      limit: 100,
      cursor: 'abc',
    },
  ]);
});

test('a code of errors that there is not is refused in a short sentence', async () => {
  const answer = await shared.app.inject({ url: '/v1/jobs?errorCode=nope', headers: asCaller });
  expect(answer.json().detail).toBe('query.errorCode.0 is none of the values in /openapi.json');
});

test('the list has previews and no texts', async () => {
  await using http = await startHttp();
  await http.make('x'.repeat(500));
  const [item] = (await http.app.inject({ url: '/v1/jobs', headers: asCaller })).json().data;
  expect(item.promptPreview).toHaveLength(200);
  expect(item).not.toHaveProperty('prompt');
  expect(http.jobs.queries[0]?.limit).toBe(20);
});

test.each([
  'errorCode=nope',
  'errorCode=execution.lost,nope',
  'limit=0',
  'limit=101',
  'limit=1e9',
  'limit=1.5',
  'limit=true',
  'limit=',
  'limit=x',
  'limit=1&limit=2',
  'offset=-1',
  'sort=id;drop',
  'status=sleeping',
  'waitReason=rain',
  'archived=yes',
  'session=',
  'model=--flag',
  'createdAfter=yesterday',
  'q=',
  'cursor=',
])('the list with ?%s is 400', async (query) => {
  const answer = await shared.app.inject({ url: `/v1/jobs?${query}`, headers: asCaller });
  expect([answer.statusCode, answer.json().code]).toEqual([400, 'request.invalid']);
});
