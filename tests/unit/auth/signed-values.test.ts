import { expect, test } from 'vitest';
import {
  createLoginSessions,
  createSignedValues,
  createStreamTickets,
} from '../../../src/auth/signed-values.ts';
import { callerOf } from '../../fakes/principals.ts';

const principal = callerOf('caller');

test('a value is valid until it expires', () => {
  let now = 1_000;
  const signed = createSignedValues<string>('test', () => now);
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

test('a login lasts twelve hours, or until the logout', () => {
  let now = 0;
  const sessions = createLoginSessions(() => now);
  const { cookie, maxAgeSeconds } = sessions.begin(principal);
  expect(maxAgeSeconds).toBe(12 * 60 * 60);
  expect(sessions.find(cookie)).toEqual(principal);
  const other = sessions.begin(principal);
  sessions.end(cookie);
  expect(sessions.find(cookie)).toBeNull();
  expect(sessions.find(other.cookie)).toEqual(principal);
  now = maxAgeSeconds * 1000;
  expect(sessions.find(other.cookie)).toBeNull();
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
