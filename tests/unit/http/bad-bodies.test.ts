import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { usePosting, withField } from './post-job.ts';

const post = usePosting();

/**
 * CPU time: work that grows with the square of a body of this size takes many seconds. On a busy
 * machine with a cold cache, a body at a time has taken 103 ms.
 */
const MAX_COST_MS = 500;

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

test('a compressed body is 415 and is not unpacked', async () => {
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
