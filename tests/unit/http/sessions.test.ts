import { expect, test } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { succeededWith } from '../../fakes/job-samples.ts';
import { callerOf } from '../../fakes/principals.ts';
import { asAdmin, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;

const call = (
  { app }: Http,
  method: 'GET' | 'POST' | 'DELETE',
  url: string,
  payload?: object,
  headers = {},
) => app.inject({ method, url, headers: { ...asAdmin, ...headers }, ...(payload && { payload }) });

async function begin(http: Http, payload: object = {}): Promise<string> {
  const answer = await call(http, 'POST', '/v1/sessions', payload);
  expect(answer.statusCode).toBe(201);
  return answer.json().id;
}

test('a session is made with its options, found, listed, closed and deleted', async () => {
  await using http = await startHttp();
  const made = await call(http, 'POST', '/v1/sessions', { name: 'notes', tags: ['a'], cwd: '/srv' });
  expect([made.statusCode, made.headers.location]).toEqual([201, `/v1/sessions/${made.json().id}`]);
  const { id } = made.json();
  expect((await call(http, 'GET', `/v1/sessions/${id}`)).json()).toMatchObject({
    name: 'notes',
    cwd: '/srv',
  });
  await call(http, 'GET', '/v1/sessions?status=ready,busy&tag=a&q=no&all=true&limit=7');
  expect(http.sessions.queries).toEqual([
    {
      ...{ status: ['ready', 'busy'], kind: null, provider: null, tag: ['a'], q: 'no', all: true },
      ...{ limit: 7, cursor: null },
    },
  ]);
  expect((await call(http, 'POST', `/v1/sessions/${id}/close`)).json().status).toBe('closed');
  const message = await call(http, 'POST', `/v1/sessions/${id}/messages`, { prompt: 'x' });
  expect([message.statusCode, message.json().code]).toEqual([409, 'session.closed']);
  expect((await call(http, 'DELETE', `/v1/sessions/${id}`)).statusCode).toBe(204);
  expect((await call(http, 'GET', `/v1/sessions/${id}`)).json().code).toBe('session.not_found');
});

test('the same Idempotency-Key makes one session, and one fork', async () => {
  await using http = await startHttp();
  const key = { 'idempotency-key': 'k' };
  const first = await call(http, 'POST', '/v1/sessions', { prompt: 'x' }, key);
  const again = await call(http, 'POST', '/v1/sessions', { prompt: 'x' }, key);
  expect(again.json().id).toBe(first.json().id);
  expect([first, again].map(({ headers }) => headers['idempotent-replayed'])).toEqual([undefined, 'true']);
  const other = await call(http, 'POST', '/v1/sessions', { prompt: 'y' }, key);
  expect([other.statusCode, other.json().code]).toEqual([422, 'idempotency.key_reused']);
  const fork = `/v1/sessions/${first.json().id}/fork`;
  const forks = [1, 2].map(() => call(http, 'POST', fork, {}, { 'idempotency-key': 'f' }));
  const [one, two] = (await Promise.all(forks)).map((answer) => answer.json());
  expect([one.forkedFrom, two.id]).toEqual([first.json().id, one.id]);
});

test('a message is the next turn, or goes into the running one', async () => {
  await using http = await startHttp();
  const id = await begin(http);
  const next = await call(http, 'POST', `/v1/sessions/${id}/messages`, { prompt: 'Now add a test' });
  expect([next.statusCode, next.json().sessionId]).toEqual([202, id]);
  expect(next.headers.location).toBe(`/v1/jobs/${next.json().id}`);
  const steer = await call(http, 'POST', `/v1/sessions/${id}/messages`, {
    prompt: 'tabs',
    delivery: 'steer',
  });
  expect([steer.statusCode, steer.json().delivered]).toEqual([202, 'steered']);
  expect(steer.headers.location).toBeUndefined();
  const job = await call(http, 'POST', `/v1/jobs/${next.json().id}/messages`, {
    ...{ prompt: 'stop', delivery: 'interrupt' },
  });
  expect([job.statusCode, job.json().sessionId]).toEqual([202, id]);
  expect(http.sessions.messages).toEqual([
    { prompt: 'Now add a test', sessionId: id },
    { prompt: 'tabs', delivery: 'steer', sessionId: id },
    { prompt: 'stop', delivery: 'interrupt', sessionId: id },
  ]);
  http.jobs.finish(next.json().id, succeededWith('done'));
  const late = await call(http, 'POST', `/v1/jobs/${next.json().id}/messages`, { prompt: 'x' });
  expect([late.statusCode, late.json().code]).toEqual([409, 'job.already_finished']);
});

test('a wait names the status that it waits for', async () => {
  await using http = await startHttp();
  const id = await begin(http);
  await call(http, 'GET', `/v1/sessions/${id}?wait=1.5`);
  await call(http, 'GET', `/v1/sessions/${id}?wait=2&until=awaiting_input`);
  expect(http.sessions.waited).toEqual([
    { until: 'ready', waitMs: 1500 },
    { until: 'awaiting_input', waitMs: 2000 },
  ]);
});

test('an interrupt is accepted with and without a body; turns have pages', async () => {
  await using http = await startHttp();
  const id = await begin(http);
  const answers = [undefined, {}].map((body) => call(http, 'POST', `/v1/sessions/${id}/interrupt`, body));
  expect((await Promise.all(answers)).map(({ statusCode }) => statusCode)).toEqual([202, 202]);
  expect(http.sessions.interrupted).toEqual([id, id]);
  const turns = await call(http, 'GET', `/v1/sessions/${id}/turns?limit=5`);
  expect(turns.json()).toEqual({ data: [], nextCursor: null });
});

test('a limit of sessions is 429 and says what to close', async () => {
  await using http = await startHttp();
  http.sessions.failNext = new AppError('limit.sessions', 'close one of: 01K9ZV4Q5A3C5E7G9J1M3P5R7T (ready)');
  const answer = await call(http, 'POST', '/v1/sessions', {});
  expect([answer.statusCode, answer.json().code]).toEqual([429, 'limit.sessions']);
  expect(answer.json().detail).toContain('01K9ZV4Q5A3C5E7G9J1M3P5R7T');
});

test.each([
  ['POST', '/v1/sessions', { kind: 'shell' }],
  ['POST', '/v1/sessions', { maxTurns: 1 }],
  ['POST', '/v1/sessions', { prompt: ' \n' }],
  ['POST', '/v1/sessions', { name: 'a\nb' }],
  ['POST', '/v1/sessions', { id: '01K9ZV4Q5A3C5E7G9J1M3P5R7T' }],
  ['POST', '/v1/sessions/ID/messages', {}],
  ['POST', '/v1/sessions/ID/messages', { prompt: 'x', delivery: 'now' }],
  ['POST', '/v1/sessions/ID/messages', { prompt: 'x', model: 'm' }],
  ['POST', '/v1/sessions/ID/close', { force: true }],
  ['POST', '/v1/sessions/ID/fork', { prompt: 'x' }],
  ['POST', '/v1/sessions/ID/interrupt', []],
  ['GET', '/v1/sessions?status=idle', undefined],
  ['GET', '/v1/sessions?kind=shell', undefined],
  ['GET', '/v1/sessions/ID?until=done&wait=1', undefined],
  ['GET', '/v1/sessions/ID?wait=301', undefined],
] as const)('%s %s with %j is 400', async (method, url, payload) => {
  await using http = await startHttp();
  const answer = await call(http, method, url.replace('ID', await begin(http)), payload);
  expect([answer.statusCode, answer.json().code]).toEqual([400, 'request.invalid']);
});

test("what is no id, and another project's session, are 404 in every route", async () => {
  await using http = await startHttp();
  const { session } = await http.sessions.create(callerOf('key:owner', 'web'), {}, null);
  const scopes = ['sessions:write', 'sessions:read'] as const;
  const { token = '' } = await http.keys.create(
    callerOf('admin'),
    { name: 'x', project: 'ops', scopes: [...scopes] },
    null,
  );
  const headers = { authorization: `Bearer ${token}` };
  for (const id of ['x', '../jobs', session.id])
    for (const [method, rest, payload] of [
      ['GET', '', undefined],
      ['GET', '?wait=1', undefined],
      ['GET', '/turns', undefined],
      ['GET', '/events', undefined],
      ['POST', '/messages', { prompt: 'x' }],
      ['POST', '/messages', { prompt: 'x', delivery: 'steer' }],
      ['POST', '/interrupt', undefined],
      ['POST', '/fork', undefined],
      ['POST', '/close', undefined],
      ['DELETE', '', undefined],
    ] as const) {
      const answer = await call(
        http,
        method,
        `/v1/sessions/${encodeURIComponent(id)}${rest}`,
        payload,
        headers,
      );
      expect([answer.statusCode, answer.json().code], `${method} ${rest}`).toEqual([
        404,
        'session.not_found',
      ]);
    }
});
