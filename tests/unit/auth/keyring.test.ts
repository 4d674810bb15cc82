import { expect, test } from 'vitest';
import { createAuthenticator } from '../../../src/auth/keyring.ts';
import { ADMIN_PRINCIPAL } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import { NO_CALLERS } from '../../fakes/keys.ts';

const TOKEN = `bp_${'a'.repeat(43)}`;
const { authenticate } = createAuthenticator({ adminToken: TOKEN, ...NO_CALLERS });

test('the right token is the admin, with the scheme in any case', async () => {
  expect(await authenticate(`Bearer ${TOKEN}`, '::1')).toEqual(ADMIN_PRINCIPAL);
  expect(await authenticate(`bearer   ${TOKEN} `, '10.0.0.1')).toEqual(ADMIN_PRINCIPAL);
});

test.each([
  ['no header', undefined],
  ['an empty header', ''],
  ['an empty bearer', 'Bearer '],
  ['the bare token', TOKEN],
  ['another scheme', `Basic ${TOKEN}`],
  ['two tokens', `Bearer ${TOKEN}, Bearer ${TOKEN}`],
  ['the prefix alone', 'Bearer bp_'],
  ['a shorter token', `Bearer ${TOKEN.slice(0, -1)}`],
  ['a longer token', `Bearer ${TOKEN}a`],
  ['another case', `Bearer ${TOKEN.toUpperCase()}`],
  ['one megabyte', `Bearer ${'a'.repeat(1024 * 1024)}`],
  ['unicode', 'Bearer bp_ключ'],
])('%s is refused with the same error', async (_name, header) => {
  const refused = authenticate(header, '::1');
  await expect(refused).rejects.toThrow(AppError);
  await expect(refused).rejects.toThrow('send a valid token as "Authorization: Bearer <token>"');
});

test('the token of a job passes without a guess, and one of an ended job counts as none', async () => {
  const job = { ...ADMIN_PRINCIPAL, id: 'job:1', admin: false };
  const counted: string[] = [];
  const { authenticateToken } = createAuthenticator({
    ...{ adminToken: TOKEN, ...NO_CALLERS },
    jobTokens: {
      find: (token) => (token === 'running' ? { principal: job } : token === 'over' ? 'ended' : null),
      current: () => null,
    },
    guesses: {
      check: ({ token }) => void counted.push(token),
      wrong: ({ token }) => void counted.push(token),
      right: () => undefined,
    },
  });
  expect(await authenticateToken('running', '::1')).toBe(job);
  await expect(authenticateToken('over', '::1')).rejects.toThrow('send a valid token');
  expect(counted).toEqual([]);
  await expect(authenticateToken('made up', '::1')).rejects.toThrow('send a valid token');
  expect(counted).toEqual(['made up', 'made up']);
});
