import { expect, test } from 'vitest';
import { MAX_PROMPT_BYTES } from '../../../src/protocol/prompt.ts';
import { usePosting, withField } from './post-job.ts';

const post = usePosting();

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

test('an answer has every problem, and the first one in a sentence', async () => {
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
    const { status, requests } = await post(JSON.stringify({ prompt }));
    expect([status, requests]).toEqual([202, [{ prompt }]]);
  },
);

test('a prompt may have 1 MiB of bytes, not one more', async () => {
  const largest = 'ä'.repeat(MAX_PROMPT_BYTES / 2);
  expect((await post(JSON.stringify({ prompt: largest }))).status).toBe(202);
  expect((await post(largest, 'text/plain')).status).toBe(202);
  const { status, body } = await post(JSON.stringify({ prompt: `${largest}x` }));
  expect([status, body.code, body.errors[0].path]).toEqual([413, 'request.too_large', '/prompt']);
});

test('the last of two equal fields is used', async () => {
  const { status, requests } = await post('{"prompt":"x","prompt":"y"}');
  expect([status, requests]).toEqual([202, [{ prompt: 'y' }]]);
});
