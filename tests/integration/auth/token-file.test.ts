import { chmod, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createAuthenticator, loadOrCreateAdminToken } from '../../../src/auth/keyring.ts';
import { NO_CALLERS } from '../../fakes/keys.ts';
import { tempDir } from '../../helpers/temp.ts';

test('the admin token is created once, with 32 random bytes and mode 0600', async () => {
  const dir = tempDir();
  const home = join(dir, 'home');
  const token = await loadOrCreateAdminToken(home);
  expect(token).toMatch(/^bp_[A-Za-z0-9_-]{43}$/);
  expect((await stat(join(home, 'token'))).mode & 0o777).toBe(0o600);
  expect((await stat(home)).mode & 0o777).toBe(0o700);
  expect(await loadOrCreateAdminToken(home)).toBe(token);
});

test('an empty file, as a crash leaves it, gets a new token', async () => {
  const dir = tempDir();
  await writeFile(join(dir, 'token'), '');
  const token = await loadOrCreateAdminToken(dir);
  expect((await readFile(join(dir, 'token'), 'utf8')).trim()).toBe(token);
});

test('a deleted file is replaced at the next start, and the old token opens nothing then', async () => {
  const dir = tempDir();
  const old = await loadOrCreateAdminToken(dir);
  await rm(join(dir, 'token'));
  const token = await loadOrCreateAdminToken(dir);
  const { authenticateToken } = createAuthenticator({ adminToken: token, ...NO_CALLERS });
  expect(await authenticateToken(token, '::1')).toMatchObject({ admin: true });
  await expect(authenticateToken(old, '::1')).rejects.toThrow('send a valid token');
});

test('a wider mode is narrowed to 0600', async () => {
  const dir = tempDir();
  const token = await loadOrCreateAdminToken(dir);
  await chmod(join(dir, 'token'), 0o644);
  expect(await loadOrCreateAdminToken(dir)).toBe(token);
  expect((await stat(join(dir, 'token'))).mode & 0o777).toBe(0o600);
});

test('a file with other content, or a link, is an error with its path', async () => {
  const dir = tempDir();
  await writeFile(join(dir, 'token'), 'hunter2\n');
  await expect(loadOrCreateAdminToken(dir)).rejects.toThrow(/token holds no token/);
  const linked = tempDir();
  await symlink(join(dir, 'token'), join(linked, 'token'));
  await expect(loadOrCreateAdminToken(linked)).rejects.toThrow(/cannot be read/);
});
