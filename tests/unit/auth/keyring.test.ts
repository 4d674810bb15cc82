import { expect, test } from 'vitest';
import { createAuthenticator } from '../../../src/auth/keyring.ts';
import { ADMIN_PRINCIPAL } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import { NO_KEYS } from '../../fakes/keys.ts';

const TOKEN = `bp_${'a'.repeat(43)}`;
const { authenticate } = createAuthenticator({ adminToken: TOKEN, keys: NO_KEYS });

test('the right token is the admin, with the scheme in any case', () => {
  expect(authenticate(`Bearer ${TOKEN}`)).toEqual(ADMIN_PRINCIPAL);
  expect(authenticate(`bearer   ${TOKEN} `)).toEqual(ADMIN_PRINCIPAL);
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
])('%s is refused with the same error', (_name, header) => {
  const refuse = () => authenticate(header);
  expect(refuse).toThrow(AppError);
  expect(refuse).toThrow('send a valid token as "Authorization: Bearer <token>"');
});
