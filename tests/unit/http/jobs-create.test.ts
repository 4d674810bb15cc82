import { Compile } from 'typebox/compile';
import { expect, test } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { Job } from '../../../src/protocol/job.ts';
import { jobOutcome } from '../../../src/protocol/outcome.ts';
import { succeededWith } from '../../fakes/jobs.ts';
import { asCaller, startHttp } from './harness.ts';

const json = { ...asCaller, 'content-type': 'application/json' };
const text = { ...asCaller, 'content-type': 'text/plain' };

test('a prompt becomes a job: 202, the job, where it is', async () => {
  await using http = await startHttp();
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/jobs',
    headers: json,
    payload: { prompt: 'Hello' },
  });
  expect(answer.statusCode).toBe(202);
  expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
  expect(Compile(Job).Errors(answer.json())).toEqual([]);
  expect(answer.headers.location).toBe(`/v1/jobs/${answer.json().id}`);
  expect(answer.headers['idempotent-replayed']).toBeUndefined();
});

test('a text body is the prompt, byte for byte, and the query its options', async () => {
  await using http = await startHttp();
  const options = new URLSearchParams([
    ['maxTurns', '5'],
    ['maxCostUsd', '0.5'],
    ['tags', 'a,b'],
    ['allowedTools', 'Read'],
    ['allowedTools', 'Bash(git:*)'],
    ['metadata', '{"a":"1"}'],
    ['outputSchema', '{"type":"object"}'],
    ['maxAttempts', '3'],
  ]);
  const prompt = '\u202eHello \u{1f600}\u200b\r\n--print $(id)\n';
  const answer = await http.app.inject({
    method: 'POST',
    url: `/v1/jobs?${options}`,
    headers: text,
    payload: prompt,
  });
  expect(answer.statusCode).toBe(202);
  expect(http.jobs.requests).toEqual([
    {
      prompt,
      maxTurns: 5,
      maxCostUsd: 0.5,
      tags: ['a', 'b'],
      allowedTools: ['Read', 'Bash(git:*)'],
      metadata: { a: '1' },
      outputSchema: { type: 'object' },
      retry: { maxAttempts: 3 },
    },
  ]);
});

test.each([
  ['maxTurns=five', '/query/maxTurns'],
  ['maxTurns=1&maxTurns=2', '/query/maxTurns'],
  ['maxTurns=0x10', '/query/maxTurns'],
  ['retry={', '/query/retry'],
  ['retry={"maxAttempts":2}&maxAttempts=2', '/query/maxAttempts'],
  ['metadata={"__proto__":{"a":"b"}}', '/query/metadata'],
  [`outputSchema={"a":${'['.repeat(1000)}${']'.repeat(1000)}}`, '/query/outputSchema'],
  ['__proto__=1', '/query/__proto__'],
  ['promt=x', '/query/promt'],
  ['prompt=x', '/query/prompt'],
])('a text body with ?%s is 400', async (query, path) => {
  await using http = await startHttp();
  const url = `/v1/jobs?${encodeURI(query)}`;
  const answer = await http.app.inject({ method: 'POST', url, headers: text, payload: 'Hello' });
  expect(answer.statusCode).toBe(400);
  expect(answer.json().errors).toContainEqual({ path, message: expect.any(String) });
});

test('options in the query of a JSON body are refused, not ignored', async () => {
  await using http = await startHttp();
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/jobs?model=x',
    headers: json,
    payload: { prompt: 'x' },
  });
  expect([answer.statusCode, answer.json().errors[0].path]).toEqual([400, '/query/model']);
});

test('with ?wait the finished job is 200, also a failed one', async () => {
  await using http = await startHttp();
  for (const outcome of [
    succeededWith('done'),
    jobOutcome('failed', { code: 'queue.expired', message: 'too late', retryable: true }),
  ]) {
    const asked = http.app
      .inject({ method: 'POST', url: '/v1/jobs?wait=60', headers: json, payload: { prompt: 'x' } })
      .then((a) => a);
    await http.jobs.nextWait();
    const [job] = (await http.jobs.list({ id: 'caller', admin: false }, anything)).data;
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

test('when waiting fails, the job was still accepted', async () => {
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
  const { data } = await http.jobs.list({ id: 'caller', admin: false }, anything);
  expect(data.map(({ status }) => status)).toEqual(['queued']);
});

test('with ?wait and Accept: text/plain the answer is the text', async () => {
  await using http = await startHttp();
  const ends = [
    [succeededWith('42\n'), '42\n'],
    [succeededWith(''), ''],
    [
      jobOutcome('failed', { code: 'auth.required', message: 'log in', retryable: false }),
      'auth.required: log in\n',
    ],
  ] as const;
  for (const [outcome, body] of ends) {
    const headers = { ...text, accept: 'text/plain' };
    const asked = http.app
      .inject({ method: 'POST', url: '/v1/jobs?wait=60', headers, payload: 'x' })
      .then((a) => a);
    await http.jobs.nextWait();
    const [job] = (await http.jobs.list({ id: 'caller', admin: false }, anything)).data;
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

const anything = {
  status: [],
  provider: [],
  tag: [],
  createdAfter: null,
  createdBefore: null,
  q: null,
  limit: 20,
  cursor: null,
};
