import { expect, test } from 'vitest';
import { Compile } from '#typebox/compile';
import { Job } from '../../../src/protocol/job.ts';
import { asCaller, startHttp } from './harness.ts';

const json = { ...asCaller, 'content-type': 'application/json' };
const text = { ...asCaller, 'content-type': 'text/plain' };

test('a prompt becomes a job: 202, the job and its Location', async () => {
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
