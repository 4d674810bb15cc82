import { describe, expect, it } from 'vitest';
import { MAX_MESSAGE_BYTES, parseRequestMessage } from '../../../src/protocol/messages.ts';
import { parseResponseMessage } from '../../../src/protocol/response-bell.ts';

const say = (value: unknown): string => JSON.stringify(value);

/** Messages that any client may publish on a channel. */
const GARBAGE: readonly string[] = [
  '',
  ' ',
  'null',
  'true',
  '42',
  '"text"',
  '[]',
  '[[]]',
  '{}',
  '{',
  'undefined',
  'NaN',
  '\u0000',
  '\ufeff{}',
  '{"v":1}',
  '{"id":1}',
  '{"__proto__":{"v":1,"type":"run","jobId":"x"}}',
  say({ v: '1', type: 'run', jobId: 'x' }),
  say({ v: 1, type: 'run' }),
  say({ v: 1, type: 'run', jobId: '' }),
  say({ v: 1, type: 'run', jobId: 'x'.repeat(65) }),
  say({ v: 1, type: 'run', jobId: 7 }),
  say({ v: 1, type: 'explode', jobId: 'x' }),
  say({ v: 1, type: ['run'], jobId: 'x' }),
  say({ id: null, prompt: 'p' }),
  say({ id: 'a', prompt: '' }),
  say({ id: 'a', prompt: 7 }),
  say({ id: 'a', prompt: 'p', args: 'no list' }),
  say({ id: 'a', prompt: 'p', args: [1] }),
  say({ id: 'a', prompt: 'p', env: { PATH: '/tmp' } }),
  say({ id: 'a', prompt: 'p', timeoutMs: 1e12 }),
  say({ id: 'a', prompt: 'p', provider: '../x' }),
];

const HUGE: Readonly<Record<string, string>> = {
  'deep nesting': `${'['.repeat(200_000)}${']'.repeat(200_000)}`,
  'a deep id': `{"id":${'['.repeat(100_000)}${']'.repeat(100_000)},"prompt":"p"}`,
  'many arguments': say({ id: 'a', prompt: 'p', args: Array(100_000).fill('x') }),
  'many wrong arguments': say({ id: 'a', prompt: 'p', args: Array(100_000).fill(1) }),
  'many unknown fields': say(Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`k${i}`, i]))),
  'a long unknown field': say({ id: 'a', prompt: 'p', ['x'.repeat(1_000_000)]: 1 }),
  'a long id': say({ id: 'x'.repeat(1_000_000), prompt: 'p' }),
  'a long job id': say({ v: 1, type: 'run', jobId: 'x'.repeat(1_000_000) }),
};

describe('the requests channel', () => {
  it.each(['run', 'cancel'] as const)('accepts a doorbell to %s', (type) => {
    const bell = { v: 1, type, jobId: '01J00000000000000000000000' };
    expect(parseRequestMessage(say(bell))).toEqual({ kind: 'bell', bell });
  });

  it('accepts a raw request with all options', () => {
    const request = {
      id: 'test',
      prompt: 'Hello',
      args: ['--print'],
      provider: 'claude',
      cwd: '/w',
      timeoutMs: 1,
    };
    expect(parseRequestMessage(say(request))).toEqual({ kind: 'raw', request });
    expect(parseRequestMessage('{"id":0,"prompt":"\\u0000"}')).toMatchObject({ kind: 'raw' });
  });

  it.each(GARBAGE)('%j is refused', (text) => {
    expect(parseRequestMessage(text)).toMatchObject({ kind: 'refused', why: expect.any(String) });
  });

  it.each([0, 2, 99, -1, 1.5, null])('a doorbell of version %j is none', (v) => {
    expect(parseRequestMessage(say({ v, type: 'run', jobId: 'x' }))).toMatchObject({ kind: 'refused' });
  });

  it('accepts a doorbell of this version with fields of a later one', () => {
    expect(parseRequestMessage(say({ v: 1, type: 'run', jobId: 'x', priority: 3 }))).toMatchObject({
      kind: 'bell',
    });
  });

  it('what is refused keeps an id that can be echoed, and only such a one', () => {
    expect(parseRequestMessage(say({ id: 'a', prompt: '' }))).toMatchObject({ id: 'a' });
    expect(parseRequestMessage(say({ id: 7 }))).toMatchObject({ id: 7 });
    for (const id of [{}, [], true, 'x'.repeat(257)]) {
      expect(parseRequestMessage(say({ id, prompt: 'p' }))).toMatchObject({ kind: 'refused', id: null });
    }
  });

  it('why it was refused names the place and does not repeat the message', () => {
    const refused = parseRequestMessage(say({ id: 'a', prompt: 'p', timeoutMs: 'secret' }));
    expect(refused).toMatchObject({ why: expect.stringContaining('/timeoutMs') });
    expect(JSON.stringify(refused)).not.toContain('secret');
    const unknown = parseRequestMessage(say({ id: 'a', prompt: 'p', foo: 1 }));
    expect(unknown).toMatchObject({ why: 'not a request: /foo is not a known field' });
  });

  it.each(Object.entries(HUGE))('%s is refused with a short answer', (_what, text) => {
    const message = parseRequestMessage(text);
    expect(message.kind).toBe('refused');
    expect(JSON.stringify(message).length).toBeLessThan(MAX_MESSAGE_BYTES);
  });

  it('a prompt of a megabyte is a request like any other', () => {
    expect(parseRequestMessage(say({ id: 1, prompt: 'x'.repeat(1_000_000) })).kind).toBe('raw');
  });
});

describe('the responses channel', () => {
  it.each(['finished', 'scheduled'] as const)('accepts a doorbell with the type %s', (type) => {
    const bell = { v: 1, type, jobId: 'x', status: 'succeeded' };
    expect(parseResponseMessage(say(bell))).toEqual(bell);
  });

  it('a raw answer is none of ours', () => {
    expect(parseResponseMessage(say({ id: 'test', success: true, result: 'ok' }))).toBeNull();
    expect(parseResponseMessage(say({ id: 'test', success: false, error: 'no' }))).toBeNull();
  });

  it.each(GARBAGE)('%j is ignored', (text) => {
    expect(parseResponseMessage(text)).toBeNull();
  });

  it.each(Object.entries(HUGE))('%s is ignored', (_what, text) => {
    expect(parseResponseMessage(text)).toBeNull();
  });

  it.each([0, 2, '1', null])('a doorbell of version %j is ignored', (v) => {
    expect(parseResponseMessage(say({ v, type: 'finished', jobId: 'x', status: 'failed' }))).toBeNull();
  });
});
