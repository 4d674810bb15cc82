import { describe, expect, it } from 'vitest';
import { createRedactor } from '../../src/redactor.ts';

/** It has characters that JSON, URLs and base64 write in another form. */
const SECRET = 'p"a/s\\s<w>o&r d+ü=9?x';
const redactor = createRedactor([SECRET]);

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const json = JSON.stringify;

describe('a secret', () => {
  it.each([
    ['plain', SECRET],
    ['as JSON', json({ text: SECRET })],
    ['as JSON inside JSON', json({ text: json({ text: SECRET }) })],
    ['as JSON with escaped slashes', json(SECRET).replaceAll('/', '\\/')],
    [
      'as JSON for HTML',
      json(SECRET).replaceAll('<', '\\u003c').replaceAll('>', '\\u003e').replaceAll('&', '\\u0026'),
    ],
    ['in a JSON pointer', json(`/${SECRET.replaceAll('/', '~1')}`)],
    ['in a path', encodeURIComponent(SECRET)],
    [
      'in a path with small hex digits',
      encodeURIComponent(SECRET).replaceAll(/%../g, (one) => one.toLowerCase()),
    ],
    ['in a form', new URLSearchParams({ password: SECRET }).toString()],
  ])('is replaced %s', (_form, text) => {
    const clean = redactor.text(`before ${text} after`);
    expect(clean).toMatch(/^before .*\[redacted\].* after$/);
    for (const part of ['p"a', 'p\\"a', 'p%22a', '9?x', '9%3Fx', '9%3fx']) expect(clean).not.toContain(part);
  });

  it.each([0, 1, 2, 3, 4, 5])('is replaced in base64 with %i bytes before it', (before) => {
    for (const after of ['', 'y', 'yy', 'yyy']) {
      const text = 'u'.repeat(before) + SECRET + after;
      for (const encoded of [base64(text), Buffer.from(text).toString('base64url')]) {
        const clean = redactor.text(encoded);
        expect(clean).toContain('[redacted]');
        // At each side a character that the secret shares with its neighbour may be left.
        const sides = Math.ceil((before * 8) / 6) + Math.ceil((after.length * 8) / 6) + 4;
        expect(clean.replace('[redacted]', '').length).toBeLessThanOrEqual(sides);
      }
    }
  });

  it('is replaced in the texts and names of a value, and the rest stays', () => {
    const value = { list: [1, null, { [`x${SECRET}`]: true }], text: `a ${SECRET}`, other: { kept: 'b' } };
    expect(redactor.value(value)).toEqual({
      list: [1, null, { 'x[redacted]': true }],
      text: 'a [redacted]',
      other: { kept: 'b' },
    });
    const clean = { list: [{ text: 'nothing' }] };
    expect(redactor.value(clean)).toBe(clean);
  });

  it('of several lines is replaced line by line', () => {
    const key =
      '-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n';
    const pem = createRedactor([key]);
    expect(pem.text(`> MIIEvQIBADANBgkqhkiG9w0B\n> AQEFAASCBKcwggSjAgEAAoIB`)).toBe(
      '> [redacted]\n> [redacted]',
    );
    expect(pem.text(json({ key }))).toBe('{"key":"[redacted]\\n"}');
    expect(pem.text('-----BEGIN KEY-----')).toBe('-----BEGIN KEY-----');
  });

  it('that begins with another secret is replaced whole', () => {
    const both = createRedactor(['hunter2-short', 'hunter2-short-and-long']);
    expect(both.text('hunter2-short-and-long, hunter2-short')).toBe('[redacted], [redacted]');
  });

  it('may be added later', () => {
    const late = createRedactor();
    expect(late.text('correct-horse')).toBe('correct-horse');
    late.add(['correct-horse']);
    expect(late.text('correct-horse')).toBe('[redacted]');
  });

  it.each(['', 'short-7', 'password', 'Production', 'DISABLED', '123456789012'])(
    'is not %j: it is too short, or a word',
    (word) => {
      const text = `the ${word} stays`;
      expect(createRedactor([word]).text(text)).toBe(text);
    },
  );
});

describe('a text that looks like a key', () => {
  it.each([
    `sk-ant-api03-${'aB3_-'.repeat(8)}`,
    `sk-proj-${'aB3'.repeat(8)}`,
    `sk-${'0123456789abcdef'.repeat(2)}`,
    `ghp_${'aB3'.repeat(12)}`,
    `github_pat_${'aB3_'.repeat(8)}`,
    `AIza${'aB3-_'.repeat(7)}`,
    'AKIAIOSFODNN7EXAMPLE',
    `bp_${'aB3-_'.repeat(8)}abc`,
    `eyJ${'aB3'.repeat(5)}.${'aB3'.repeat(5)}.${'aB3'.repeat(5)}`,
  ])('is replaced: %s', (key) => {
    expect(createRedactor().text(`key=${key}, "${key}"\n${key}`)).toBe(
      'key=[redacted], "[redacted]"\n[redacted]',
    );
  });

  it.each([
    'task-force-management-system-2',
    'sk-learn',
    'bp_total_pressure_2',
    'the AIza prefix',
    'ghp_short',
  ])('is not %j', (text) => expect(createRedactor().text(text)).toBe(text));
});
