import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  SIGNATURE_WINDOW_MS,
  type SignatureScheme,
  signRequest,
  verifySignature,
} from '../../../src/auth/request-signature.ts';
import { AppError } from '../../../src/errors.ts';

const NOW = 1_780_000_000_000;
const SECRET = 'the shared secret of this test, long enough';
const OLD = 'the secret that is being replaced, long enough';
const BODY = Buffer.from('{"id":"a","n":[1,2]}');
const REQUEST = { method: 'POST', pathAndQuery: '/v1/executions?a=1', body: BODY };

const signed = (change: Partial<Parameters<typeof signRequest>[0]> = {}) =>
  signRequest({ secret: SECRET, now: NOW, nonce: 'n-1', ...REQUEST, ...change });

type Check = Partial<Parameters<typeof verifySignature>[0]>;
const check = (change: Check = {}) =>
  verifySignature({ scheme: 'v2', secrets: [SECRET], headers: signed(), now: NOW, ...REQUEST, ...change });

/** The code of the refusal; null: it was accepted. */
function refusal(change: Check): string | null {
  try {
    check(change);
    return null;
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
}

const hex = (secret: string, text: string): string => createHmac('sha256', secret).update(text).digest('hex');

/** Headers of the original's scheme, built from its description. */
function original(text: string, timestamp = String(NOW), nonce?: string, secret = SECRET) {
  return {
    'x-claude-timestamp': timestamp,
    'x-claude-signature': hex(secret, text),
    ...(nonce === undefined ? {} : { 'x-claude-nonce': nonce }),
  };
}

describe('the signature of a request', () => {
  it('is the HMAC of the published text', () => {
    const sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    const headers = signed({ method: 'GET', pathAndQuery: '/v1/executions', body: Buffer.alloc(0) });
    expect(headers['x-claude-signature']).toBe(hex(SECRET, `v2:${NOW}:n-1:GET:/v1/executions:${sha256}`));
  });

  it('is accepted with any of the secrets', () => {
    const valid = { signature: signed()['x-claude-signature'], timestampMs: NOW };
    expect(check()).toEqual(valid);
    expect(check({ secrets: [OLD, SECRET] })).toEqual(valid);
    expect(refusal({ secrets: [OLD] })).toBe('signature.invalid');
  });

  it.each([
    ['method', { method: 'GET' }],
    ['path', { pathAndQuery: '/v1/execution?a=1' }],
    ['query', { pathAndQuery: '/v1/executions?a=2' }],
    ['missing query', { pathAndQuery: '/v1/executions' }],
    ['byte of the body', { body: Buffer.from('{"id":"b","n":[1,2]}') }],
    ['order of keys', { body: Buffer.from('{"n":[1,2],"id":"a"}') }],
    ['space in the body', { body: Buffer.from('{"id":"a","n":[1, 2]}') }],
    ['scheme', { scheme: 'original' as const }],
    ['nonce', { headers: { ...signed(), 'x-claude-nonce': 'n-2' } }],
    ['timestamp', { headers: { ...signed(), 'x-claude-timestamp': String(NOW + 1) } }],
  ])('does not count for another %s', (_what, change) => {
    expect(refusal(change)).toBe('signature.invalid');
  });

  it.each(['x-claude-timestamp', 'x-claude-signature', 'x-claude-nonce'])('needs the header %s', (name) => {
    expect(refusal({ headers: { ...signed(), [name]: undefined } })).toBe('signature.missing');
  });

  const right = signed()['x-claude-signature'];
  it.each([
    ['truncated', right.slice(0, 62)],
    ['half a byte short', right.slice(0, 63)],
    ['longer', `${right}00`],
    ['in upper case', right.toUpperCase()],
    ['not hex', `${right.slice(0, 63)}g`],
    ['with a space', ` ${right}`],
    ['with a line feed', `${right}\n`],
    ['with a prefix', `sha256=${right}`],
    ['base64', Buffer.from(right, 'hex').toString('base64')],
    ['empty', ''],
    ['sent twice', `${right}, ${right}`],
    ['an array', [right]],
    ['an array of two', [right, right]],
    ['of another secret', hex(OLD, 'x')],
  ])('is refused when it is %s', (_what, signature) => {
    expect(refusal({ headers: { ...signed(), 'x-claude-signature': signature } })).toBe('signature.invalid');
  });

  it.each([
    ['NaN', 'NaN'],
    ['a float', `${NOW}.5`],
    ['an exponent', '1.78e12'],
    ['negative', `-${NOW}`],
    ['signed', `+${NOW}`],
    ['hex', `0x${NOW.toString(16)}`],
    ['padded', `0${NOW}`],
    ['spaced', ` ${NOW}`],
    ['empty', ''],
    ['a date', new Date(NOW).toISOString()],
    ['longer than a number holds', `${NOW}0000`],
    ['sent twice', `${NOW}, ${NOW}`],
  ])('is refused with a timestamp that is %s, also when that was signed', (_what, timestamp) => {
    const headers = original(`${timestamp}:${BODY}`, timestamp);
    expect(refusal({ scheme: 'original', headers })).toBe('signature.invalid');
    expect(refusal({ headers: { ...signed(), 'x-claude-timestamp': [timestamp] } })).toBe(
      'signature.invalid',
    );
  });

  it('is valid for 30 seconds in both directions', () => {
    for (const away of [-SIGNATURE_WINDOW_MS, SIGNATURE_WINDOW_MS]) {
      expect(refusal({ now: NOW + away })).toBeNull();
      expect(refusal({ now: NOW + away + Math.sign(away) })).toBe('signature.expired');
    }
  });

  it('of seconds in place of milliseconds has expired', () => {
    expect(refusal({ headers: signed({ now: Math.trunc(NOW / 1000) }) })).toBe('signature.expired');
  });

  it('that is wrong is called wrong, also when it is old', () => {
    expect(refusal({ now: NOW + 301_000, secrets: [OLD] })).toBe('signature.invalid');
  });
});

describe("the original's signature", () => {
  const scheme: SignatureScheme = 'original';

  it('covers the timestamp and the body, and the nonce when there is one', () => {
    expect(refusal({ scheme, headers: original(`${NOW}:${BODY}`) })).toBeNull();
    expect(refusal({ scheme, headers: original(`${NOW}:n-1:${BODY}`, String(NOW), 'n-1') })).toBeNull();
    expect(refusal({ scheme, headers: original(`${NOW}:${BODY}`, String(NOW), 'n-1') })).toBe(
      'signature.invalid',
    );
    expect(refusal({ scheme, headers: original(`${NOW}:n-1:${BODY}`) })).toBe('signature.invalid');
  });

  it('covers the bytes of the body, not its text', () => {
    const body = Buffer.from([0x7b, 0xff, 0x7d]);
    const signature = createHmac('sha256', SECRET).update(`${NOW}:`).update(body).digest('hex');
    const headers = { ...original(''), 'x-claude-signature': signature };
    expect(refusal({ scheme, body, headers })).toBeNull();
    expect(refusal({ scheme, body: Buffer.from([0x7b, 0xfe, 0x7d]), headers })).toBe('signature.invalid');
  });

  it('does not count on the other routes', () => {
    const headers = original(`${NOW}:n-1:${BODY}`, String(NOW), 'n-1');
    expect(refusal({ headers })).toBe('signature.invalid');
  });

  it.each(['a:b', '{"prompt"', 'a b', 'a,b', '', 'n'.repeat(129)])('has no nonce %j', (nonce) => {
    const headers = original(`${NOW}:${nonce}:${BODY}`, String(NOW), nonce);
    expect(refusal({ scheme, headers })).toBe('signature.invalid');
  });
});
