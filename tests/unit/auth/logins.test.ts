import { expect, test } from 'vitest';
import { createLoginSessions, loginSecret } from '../../../src/auth/logins.ts';
import { NO_JWTS } from '../../fakes/jwts.ts';
import { FakeEndedLogins } from '../../fakes/keys.ts';
import { callerOf } from '../../fakes/principals.ts';

const principal = callerOf('caller');
const TOKEN = `bp_${'a'.repeat(43)}`;
const secret = loginSecret(TOKEN, 'node', NO_JWTS);
const DAY_MS = 24 * 60 * 60 * 1000;

test('a login lasts twelve hours, or until the logout', async () => {
  let now = 0;
  const logins = await createLoginSessions({ secret, ended: new FakeEndedLogins(), now: () => now });
  const { cookie, maxAgeSeconds } = logins.begin(principal);
  expect(maxAgeSeconds).toBe(12 * 60 * 60);
  expect(logins.find(cookie)).toMatchObject(principal);
  const other = logins.begin(principal);
  await logins.end(cookie);
  expect(logins.find(cookie)).toBeNull();
  expect(logins.find(other.cookie)).toMatchObject(principal);
  now = maxAgeSeconds * 1000;
  expect(logins.find(other.cookie)).toBeNull();
});

test('a login holds over a restart, and so does a logout', async () => {
  const ended = new FakeEndedLogins();
  const before = await createLoginSessions({ secret, ended });
  const [stays, left] = [before.begin(principal).cookie, before.begin(principal).cookie];
  await before.end(left);
  const after = await createLoginSessions({ secret, ended });
  expect([after.find(stays)?.id, after.find(left)]).toEqual([principal.id, null]);
});

test('a logout that cannot be stored is reported, and holds until the restart', async () => {
  const failure = new Error('the disk is full');
  const ended = { all: async () => [], add: () => Promise.reject(failure) };
  const logins = await createLoginSessions({ secret, ended });
  const { cookie } = logins.begin(principal);
  await expect(logins.end(cookie)).rejects.toThrow(failure);
  expect(logins.find(cookie)).toBeNull();
});

test('logouts are forgotten when their cookies have expired, and made-up cookies are not kept', async () => {
  let now = 0;
  const ended = new FakeEndedLogins();
  const logins = await createLoginSessions({ secret, ended, now: () => now });
  for (let i = 0; i < 10; i += 1) await logins.end(logins.begin(principal).cookie);
  await logins.end('made.up');
  expect(ended.stored.size).toBe(10);
  now = DAY_MS;
  const { cookie } = logins.begin(principal);
  await logins.end(cookie);
  await logins.end(cookie);
  expect(ended.stored.size).toBe(1);
});

test.each([
  ['another admin token', loginSecret(`bp_${'b'.repeat(43)}`, 'node', NO_JWTS)],
  ['another data folder', loginSecret(TOKEN, 'other', NO_JWTS)],
  ['another secret of JWTs', loginSecret(TOKEN, 'node', { ...NO_JWTS, jwtSecret: 'x'.repeat(32) })],
  ['another audience of JWTs', loginSecret(TOKEN, 'node', { ...NO_JWTS, jwtAudience: 'me' })],
])('%s ends every login', async (_, other) => {
  const ended = new FakeEndedLogins();
  const { cookie } = (await createLoginSessions({ secret, ended })).begin(principal);
  expect((await createLoginSessions({ secret: other, ended })).find(cookie)).toBeNull();
  expect(other).toHaveLength(32);
});
