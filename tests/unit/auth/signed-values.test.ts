import { expect, test } from 'vitest';
import { createSignedValues, createStreamTickets } from '../../../src/auth/signed-values.ts';
import { callerOf } from '../../fakes/principals.ts';

const principal = callerOf('caller');

test('a value is valid until it expires', () => {
  let now = 1_000;
  const signed = createSignedValues<string>('test', { now: () => now });
  const sealed = signed.seal('hello', 2_000);
  expect(signed.open(sealed)).toBe('hello');
  now = 2_000;
  expect(signed.open(sealed)).toBeNull();
});

test('a value that was changed, cut or signed by another process is not valid', () => {
  const signed = createSignedValues<string>('test');
  const sealed = signed.seal('hello', Date.now() + 60_000);
  const [payload, mac] = sealed.split('.');
  for (const forged of [
    '',
    '.',
    'x',
    `${payload}.`,
    `${payload}x.${mac}`,
    `${payload}.${mac}.${mac}`,
    'a'.repeat(9999),
  ]) {
    expect(signed.open(forged)).toBeNull();
  }
  expect(createSignedValues<string>('test').open(sealed)).toBeNull();
});

test('a value is valid for its purpose and its secret alone', () => {
  const secret = Buffer.alloc(32, 'a');
  const sealed = createSignedValues<string>('test', { secret }).seal('hello', Date.now() + 60_000);
  expect(createSignedValues<string>('test', { secret }).open(sealed)).toBe('hello');
  expect(createSignedValues<string>('other', { secret }).open(sealed)).toBeNull();
  expect(createSignedValues<string>('test', { secret: Buffer.alloc(32, 'b') }).open(sealed)).toBeNull();
});

test('a ticket is valid for a minute', () => {
  let now = 0;
  const tickets = createStreamTickets(() => now);
  const { ticket, expiresAt } = tickets.issue({ noun: 'job', id: 'J', principal });
  expect(expiresAt).toBe('1970-01-01T00:01:00.000Z');
  now = 59_999;
  expect(tickets.find(ticket)).toEqual({ noun: 'job', id: 'J', principal });
  now = 60_000;
  expect(tickets.find(ticket)).toBeNull();
});
