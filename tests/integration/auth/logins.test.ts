/** Logins of browsers at a real server that is restarted. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { launchServer, type TestServer } from '../../helpers/server.ts';
import { tempDir } from '../../helpers/temp.ts';

async function start(dir: string): Promise<TestServer> {
  const server = await launchServer({ dir });
  onTestFinished(() => server.stop());
  return server;
}

async function logIn({ url }: TestServer, token: string): Promise<string> {
  const answer = await fetch(`${url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
  });
  expect(answer.status).toBe(204);
  return answer.headers.get('set-cookie')?.split(';')[0] ?? '';
}

const statusWith = async ({ url }: TestServer, cookie: string): Promise<number> =>
  (await fetch(`${url}/v1/me`, { headers: { cookie } })).status;

it('a login holds over a restart, unless it was ended or its key was revoked', async () => {
  const dir = tempDir();
  const before = await start(dir);
  const makeKey = async (name: string): Promise<{ id: string; token: string }> =>
    (await before.api('POST', '/v1/keys', { name, project: 'web', scopes: ['jobs:read'] })).json() as never;
  const [key, revoked] = [await makeKey('kept'), await makeKey('revoked')];
  const [admin, ofKey, ofRevoked, left] = await Promise.all(
    [before.token, key.token, revoked.token, before.token].map((token) => logIn(before, token)),
  );
  const cookies = [admin, ofKey, ofRevoked, left].map(String);
  await fetch(`${before.url}/logout`, { method: 'POST', headers: { cookie: String(left) } });
  expect((await before.api('POST', `/v1/keys/${revoked.id}/revoke`)).status).toBe(200);
  await before.kill('SIGKILL');

  const after = await start(dir);
  const statuses = await Promise.all(cookies.map((cookie) => statusWith(after, cookie)));
  expect(statuses).toEqual([200, 200, 401, 401]);
});

it('a new admin token ends every login', async () => {
  const dir = tempDir();
  const before = await start(dir);
  const cookie = await logIn(before, before.token);
  await before.stop();
  rmSync(join(before.home, 'token'));
  const after = await start(dir);
  expect(after.token).not.toBe(before.token);
  expect(await statusWith(after, cookie)).toBe(401);
});
