import { expect, test } from 'vitest';
import { callerOf } from '../../fakes/principals.ts';
import { asCaller, startHttp } from './harness.ts';

test('cancel is 202 while the job may still end otherwise, 200 afterwards, 409 if it did', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  const cancel = () => http.app.inject({ method: 'POST', url: `/v1/jobs/${id}/cancel`, headers: asCaller });
  const asked = await cancel();
  expect([asked.statusCode, asked.json().cancelRequested]).toEqual([202, true]);
  const { outcome } = http.jobs.finish(id);
  expect((await cancel()).json()).toMatchObject({ status: 409, code: 'job.already_finished' });
  if (outcome !== null) http.jobs.finish(id, { ...outcome, status: 'cancelled' });
  expect((await cancel()).statusCode).toBe(200);
});

test.each([
  ['no body', {}, undefined, false],
  ['an empty JSON body', { 'content-type': 'application/json' }, undefined, false],
  ['an empty object', { 'content-type': 'application/json' }, '{}', false],
  ['force', { 'content-type': 'application/json' }, '{"force":true}', true],
])('cancel takes %s', async (_name, headers, payload, forced) => {
  await using http = await startHttp();
  const { id } = await http.make();
  const answer = await http.app.inject({
    method: 'POST',
    url: `/v1/jobs/${id}/cancel`,
    headers: { ...asCaller, ...headers },
    ...(payload === undefined ? {} : { payload }),
  });
  expect([answer.statusCode, answer.json().metadata.force]).toEqual([202, forced ? 'true' : undefined]);
});

test.each([
  ['{"force":"yes"}', 400],
  ['{"force":true,"why":"x"}', 400],
  ['[]', 400],
  ['"force"', 400],
])('cancel with %s is %i', async (payload, status) => {
  await using http = await startHttp();
  const { id } = await http.make();
  const headers = { ...asCaller, 'content-type': 'application/json' };
  expect(
    (await http.app.inject({ method: 'POST', url: `/v1/jobs/${id}/cancel`, headers, payload })).statusCode,
  ).toBe(status);
});

test('retry makes a new job, with the fields the body changes', async () => {
  await using http = await startHttp();
  const { id } = await http.make('first');
  const retry = (payload?: object) =>
    http.app.inject({
      method: 'POST',
      url: `/v1/jobs/${id}/retry`,
      headers: asCaller,
      ...(payload ? { payload } : {}),
    });
  expect((await retry()).json()).toMatchObject({ status: 409, code: 'job.not_finished' });
  http.jobs.finish(id);
  const again = await retry();
  expect([again.statusCode, again.json().retryOf, again.json().prompt]).toEqual([202, id, 'first']);
  expect(again.headers.location).toBe(`/v1/jobs/${again.json().id}`);
  expect((await retry({ prompt: 'second', priority: 5 })).json()).toMatchObject({
    prompt: 'second',
    priority: 5,
  });
  expect((await retry({ prompt: ' ' })).statusCode).toBe(400);
  expect((await retry({ status: 'queued' })).statusCode).toBe(400);
});

test('a finished job can be deleted, a running one cannot', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  // Some clients announce JSON and send none.
  const headers = { ...asCaller, 'content-type': 'application/json' };
  const remove = () => http.app.inject({ method: 'DELETE', url: `/v1/jobs/${id}`, headers });
  expect((await remove()).json().code).toBe('job.not_finished');
  http.jobs.finish(id);
  const removed = await remove();
  expect([removed.statusCode, removed.body]).toEqual([204, '']);
  expect((await remove()).statusCode).toBe(404);
});

test('PATCH changes tags, metadata and the archived mark, each on its own', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  const change = (payload: object) =>
    http.app.inject({ method: 'PATCH', url: `/v1/jobs/${id}`, headers: asCaller, payload });
  const tagged = await change({ tags: ['a', 'b'] });
  expect([tagged.statusCode, tagged.json()]).toMatchObject([200, { tags: ['a', 'b'], archived: false }]);
  http.jobs.finish(id);
  const archived = await change({ archived: true, metadata: { k: 'v' } });
  expect(archived.json()).toMatchObject({ tags: ['a', 'b'], metadata: { k: 'v' }, archived: true });
  expect((await change({ tags: [], metadata: {} })).json()).toMatchObject({ tags: [], metadata: {} });
});

test.each([
  {},
  { tags: null },
  { tags: ['a', 'a'] },
  { tags: [''] },
  { tags: ['x'.repeat(65)] },
  { tags: Array.from({ length: 33 }, String) },
  { metadata: { k: 1 } },
  { metadata: { k: 'x'.repeat(1025) } },
  { archived: 'true' },
  { prompt: 'other' },
  { archived: true, status: 'queued' },
])('PATCH with %j is 400 and changes nothing', async (payload) => {
  await using http = await startHttp();
  const job = await http.make();
  const url = `/v1/jobs/${job.id}`;
  const answer = await http.app.inject({ method: 'PATCH', url, headers: asCaller, payload });
  expect([answer.statusCode, answer.json().code]).toEqual([400, 'request.invalid']);
  expect(await http.jobs.get(callerOf('caller'), job.id)).toEqual(job);
});

test('PATCH of a job that is not there, or of another principal, is 404', async () => {
  await using http = await startHttp();
  const { job } = await http.jobs.create(callerOf('other'), { prompt: 'x' }, null);
  for (const id of [job.id, '01J00000000000000000000000', 'x']) {
    const url = `/v1/jobs/${id}`;
    const payload = { archived: true };
    const answer = await http.app.inject({ method: 'PATCH', url, headers: asCaller, payload });
    expect([answer.statusCode, answer.json().code], id).toEqual([404, 'job.not_found']);
  }
});
