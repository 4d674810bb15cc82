import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { MAX_PROMPT_BYTES } from '../../../src/protocol/prompt.ts';
import { asCaller, startHttp } from './harness.ts';

/** CPU time, which the load of the machine does not change. */
const MAX_COST_MS = 100;

async function post(
  payload: string | Buffer,
  type = 'application/json',
  headers: Record<string, string> = {},
) {
  await using http = await startHttp();
  const before = process.cpuUsage();
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/jobs',
    headers: { ...asCaller, 'content-type': type, ...headers },
    payload,
  });
  const { user, system } = process.cpuUsage(before);
  return { status: answer.statusCode, body: answer.json(), costMs: (user + system) / 1000, jobs: http.jobs };
}

const withField = (field: string) => `{"prompt":"x",${field}}`;

test.each([
  ['malformed JSON', '{"prompt":'],
  ['an empty body', ''],
  ['null', 'null'],
  ['a list', '[]'],
  ['a bare string', '"Hello"'],
  ['__proto__', withField('"__proto__":{"admin":true}')],
  ['constructor.prototype', withField('"constructor":{"prototype":{"admin":true}}')],
  ['__proto__ deep inside', withField('"outputSchema":{"a":[{"__proto__":1}]}')],
  ['constructor', withField('"constructor":1')],
  ['toString', withField('"toString":1')],
])('%s is 400 and changes no prototype', async (_name, payload) => {
  const { status, body } = await post(payload);
  expect([status, body.code]).toEqual([400, 'request.invalid']);
  expect({}).not.toHaveProperty('admin');
});

test('bytes that are not UTF-8 are 400, in JSON and in text', async () => {
  const bytes = Buffer.from([0x22, 0xff, 0x22]);
  expect((await post(bytes)).status).toBe(400);
  expect((await post(bytes, 'text/plain')).status).toBe(400);
});

test.each([
  'userId',
  'role',
  'jobId',
  'attempts',
  'repeat',
  'parent',
  'owner',
  'status',
  'extraArgs',
  'shell',
  'env',
  'executable',
])('the field %s does not exist', async (field) => {
  const { status, body } = await post(withField(`"${field}":"x"`));
  expect(status).toBe(400);
  expect(body.errors).toEqual([{ path: `/${field}`, message: 'is not a known field' }]);
});

test.each([
  ['"timeoutMs":0', 'must be at least 1'],
  ['"timeoutMs":-1', 'must be at least 1'],
  ['"timeoutMs":1e12', 'must be at most 86400000'],
  ['"timeoutMs":1e999', 'must be an integer'],
  ['"timeoutMs":1.5', 'must be an integer'],
  ['"timeoutMs":"5"', 'must be an integer'],
  ['"timeoutMs":null', 'must be an integer'],
  ['"delayMs":-1', 'must be at least 0'],
  ['"priority":11', 'must be at most 10'],
  ['"maxCostUsd":0', 'must be more than 0'],
  ['"permissionMode":"root"', 'must be one of default, plan, acceptEdits, fullAccess'],
  ['"provider":"Claude Code"', 'has a form or characters that are not allowed'],
  ['"provider":"-p"', 'has a form or characters that are not allowed'],
  ['"model":"a b"', 'has a form or characters that are not allowed'],
  ['"model":"--model=x"', 'has a form or characters that are not allowed'],
  ['"model":"a\\nb"', 'has a form or characters that are not allowed'],
  ['"model":"../x"', 'has a form or characters that are not allowed'],
  ['"allowedTools":["Read,Bash"]', 'has a form or characters that are not allowed'],
  ['"tags":["a","a"]', 'must not repeat an item'],
  ['"tags":"a"', 'must be an array'],
])('%s is 400 in words for people', async (field, message) => {
  const { status, body } = await post(withField(field));
  expect(status).toBe(400);
  expect(body.errors).toContainEqual({ path: expect.stringMatching(/^\/\w+/), message });
});

test('every problem is told at once, and the first in a sentence', async () => {
  const { body } = await post('{"promt":"x","retry":{"maxAttempts":0,"backoff":1}}');
  expect(body.detail).toMatch(/^\S+ .+ \(and 3 more\)$/);
  expect(body.errors).toHaveLength(4);
  expect(body.errors).toEqual(
    expect.arrayContaining([
      { path: '/promt', message: 'is not a known field' },
      { path: '/prompt', message: 'is required' },
      { path: '/retry/backoff', message: 'is not a known field' },
      { path: '/retry/maxAttempts', message: 'must be at least 1' },
    ]),
  );
});

test.each(['', ' ', ' \n\t ', '\u2003\u00a0', 'a\u0000b'])('the prompt %j is 400', async (prompt) => {
  expect((await post(JSON.stringify({ prompt }))).status).toBe(400);
  expect((await post(prompt, 'text/plain')).status).toBe(400);
});

test.each(['\u0007', '\u202ex', '\u200bx', '--print', '@/etc/passwd', '\ud800', '\r\n.\r\n'])(
  'the prompt %j passes as it is',
  async (prompt) => {
    const { status, jobs } = await post(JSON.stringify({ prompt }));
    expect([status, jobs.requests]).toEqual([202, [{ prompt }]]);
  },
);

test('a prompt may have 1 MiB of bytes, not one more', async () => {
  const largest = 'ä'.repeat(MAX_PROMPT_BYTES / 2);
  expect((await post(JSON.stringify({ prompt: largest }))).status).toBe(202);
  expect((await post(largest, 'text/plain')).status).toBe(202);
  const { status, body } = await post(JSON.stringify({ prompt: `${largest}x` }));
  expect([status, body.code, body.errors[0].path]).toEqual([413, 'request.too_large', '/prompt']);
});

test.each([
  ['application/x-www-form-urlencoded'],
  ['multipart/form-data; boundary=x'],
  ['application/json; charset=utf-16'],
  ['application/json;charset="iso-8859-1"'],
  ['text/plain; charset=latin1'],
  ['application/octet-stream'],
  ['application/vnd.api+json'],
  ['garbage'],
])('the type %s is 415', async (type) => {
  const { status, body } = await post('{"prompt":"x"}', type);
  expect([status, body.code]).toEqual([415, 'request.unsupported_media_type']);
});

test.each([
  'application/json; charset=utf-8',
  'application/json;charset="UTF-8"',
  'Application/JSON',
  'application/json; profile=x',
])('the type %s is JSON', async (type) => {
  expect((await post('{"prompt":"x"}', type)).status).toBe(202);
});

test('a compressed body is 415 and never unpacked', async () => {
  const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024, ' '));
  for (const encoding of ['gzip', 'br', 'identity, gzip']) {
    expect((await post(bomb, 'application/json', { 'content-encoding': encoding })).status).toBe(415);
  }
  expect((await post('{"prompt":"x"}', 'application/json', { 'content-encoding': 'identity' })).status).toBe(
    202,
  );
});

const keys = (count: number) => Array.from({ length: count }, (_, i) => `"k${i}":1`).join(',');

test.each([
  ['arrays 100,000 deep', '['.repeat(100_000) + ']'.repeat(100_000)],
  ['objects 100,000 deep', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
  ['depth in a free field', withField(`"outputSchema":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)],
  ['as many unknown fields as are read', `{"prompt":"x",${keys(9_000)}}`],
  ['more fields than are read', `{"prompt":"x",${keys(100_000)}}`],
  ['quotes and backslashes', `{"prompt":"x","a":"${'\\"'.repeat(900_000)}"}`],
])('%s are 400 at little cost', async (_name, payload) => {
  const { status, costMs } = await post(payload);
  expect(status).toBe(400);
  expect(costMs).toBeLessThan(MAX_COST_MS);
});

test('a field said twice is taken once', async () => {
  const { status, jobs } = await post('{"prompt":"x","prompt":"y"}');
  expect([status, jobs.requests]).toEqual([202, [{ prompt: 'y' }]]);
});
