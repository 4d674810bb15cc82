import { expect, test } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { jobOutcome } from '../../../src/protocol/outcome.ts';
import { succeededWith } from '../../fakes/job-samples.ts';
import { callerOf } from '../../fakes/principals.ts';
import { asCaller, startHttp } from './harness.ts';

const json = { ...asCaller, 'content-type': 'application/json' };
const text = { ...asCaller, 'content-type': 'text/plain' };

const anything = { limit: 20, cursor: null };

test('with ?wait the finished job is 200, including a failed one', async () => {
  await using http = await startHttp();
  for (const outcome of [
    succeededWith('done'),
    jobOutcome('failed', { code: 'queue.expired', message: 'too late', retryable: true, resetsAt: null }),
  ]) {
    const asked = http.app
      .inject({ method: 'POST', url: '/v1/jobs?wait=60', headers: json, payload: { prompt: 'x' } })
      .then((a) => a);
    await http.jobs.nextWait();
    const [job] = (await http.jobs.list(callerOf('caller'), anything)).data;
    http.jobs.finish(job?.id ?? '', outcome);
    const answer = await asked;
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ status: outcome.status, finished: true, outcome });
  }
});

test('with ?wait a job that does not end in time is 202', async () => {
  await using http = await startHttp();
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/jobs?wait=0.01',
    headers: json,
    payload: { prompt: 'x' },
  });
  expect([answer.statusCode, answer.json().finished]).toEqual([202, false]);
});

test('a failed wait answers that the job was accepted', async () => {
  await using http = await startHttp();
  const { wait } = http.jobs;
  http.jobs.wait = async (...args) => {
    http.jobs.failNext = new AppError('redis.unavailable', 'Redis cannot be reached');
    return wait.apply(http.jobs, args);
  };
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/jobs?wait=5',
    headers: json,
    payload: { prompt: 'x' },
  });
  expect([answer.statusCode, answer.json().status]).toEqual([202, 'queued']);
});

test('a caller that leaves ends the wait and cancels nothing', async () => {
  await using http = await startHttp();
  const url = await http.listen();
  const leave = new AbortController();
  const asked = fetch(`${url}/v1/jobs?wait=60`, {
    method: 'POST',
    headers: text,
    body: 'x',
    signal: leave.signal,
  });
  await http.jobs.nextWait();
  const [signal] = http.jobs.waits;
  const gone = new Promise((resolve) => signal?.addEventListener('abort', resolve));
  leave.abort();
  await expect(asked).rejects.toThrow();
  await gone;
  const { data } = await http.jobs.list(callerOf('caller'), anything);
  expect(data.map(({ status }) => status)).toEqual(['queued']);
});

test('with ?wait and Accept: text/plain the answer is the text', async () => {
  await using http = await startHttp();
  const ends = [
    [succeededWith('42\n'), '42\n'],
    [succeededWith(''), ''],
    [
      jobOutcome('failed', { code: 'auth.required', message: 'log in', retryable: false, resetsAt: null }),
      'auth.required: log in\n',
    ],
  ] as const;
  for (const [outcome, body] of ends) {
    const headers = { ...text, accept: 'text/plain' };
    const asked = http.app
      .inject({ method: 'POST', url: '/v1/jobs?wait=60', headers, payload: 'x' })
      .then((a) => a);
    await http.jobs.nextWait();
    const [job] = (await http.jobs.list(callerOf('caller'), anything)).data;
    http.jobs.finish(job?.id ?? '', outcome);
    const answer = await asked;
    expect([answer.statusCode, answer.headers['content-type'], answer.body]).toEqual([
      200,
      'text/plain; charset=utf-8',
      body,
    ]);
    expect([answer.headers['bullpen-job'], answer.headers['bullpen-status']]).toEqual([
      job?.id,
      outcome.status,
    ]);
  }
});

test.each(['*/*', 'application/json, text/plain, */*', 'text/plain;q=0.5, application/json'])(
  'with ?wait and Accept: %s the answer is JSON',
  async (accept) => {
    await using http = await startHttp();
    const headers = { ...text, accept, 'idempotency-key': 'k' };
    const first = await http.app.inject({ method: 'POST', url: '/v1/jobs', headers, payload: 'x' });
    http.jobs.finish(first.json().id);
    const answer = await http.app.inject({ method: 'POST', url: '/v1/jobs?wait=1', headers, payload: 'x' });
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([
      200,
      'application/json; charset=utf-8',
    ]);
  },
);
