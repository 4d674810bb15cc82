/** Logins of browsers at a real server that is restarted. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { descendants, isAlive } from '../../helpers/proc.ts';
import { launchServer, type TestServer } from '../../helpers/server.ts';
import { tempDir } from '../../helpers/temp.ts';
import { accepted, fakeClis, redisOf, sandboxesOf } from '../fault-bench.ts';

async function start(dir: string, config: Readonly<Record<string, unknown>> = {}): Promise<TestServer> {
  const server = await launchServer({ dir, config, env: { BULLPEN_WORKERS: '1' } });
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

it('a login holds over a restart, unless it was ended or its key was revoked; a new admin token ends every login', async () => {
  const dir = tempDir();
  const clis = await fakeClis();
  const before = await start(dir, clis.config);
  const makeKey = async (name: string): Promise<{ id: string; token: string }> =>
    (await before.api('POST', '/v1/keys', { name, project: 'web', scopes: ['jobs:read'] })).json() as never;
  const [key, revoked] = [await makeKey('kept'), await makeKey('revoked')];
  const [admin, ofKey, ofRevoked, left] = await Promise.all(
    [before.token, key.token, revoked.token, before.token].map((token) => logIn(before, token)),
  );
  const cookies = [admin, ofKey, ofRevoked, left].map(String);
  await fetch(`${before.url}/logout`, { method: 'POST', headers: { cookie: String(left) } });
  expect((await before.api('POST', `/v1/keys/${revoked.id}/revoke`)).status).toBe(200);

  // A server that is killed leaves no process: no Redis, no launcher, no worker and no CLI.
  await accepted(before, { prompt: clis.held('never', 'half'), autoContinue: false });
  await eventually(() => clis.prompted() === 1);
  const below = descendants(before.pid);
  expect(redisOf(before.pid)).toHaveLength(1);
  expect(sandboxesOf(before.pid)).not.toEqual([]);
  expect(below).toEqual(expect.arrayContaining(clis.pids()));
  await before.kill('SIGKILL');
  await eventually(() => expect(below.filter(isAlive)).toEqual([]));

  const after = await start(dir);
  const statuses = await Promise.all(cookies.map((cookie) => statusWith(after, cookie)));
  expect(statuses).toEqual([200, 200, 401, 401]);
  await after.stop();
  rmSync(join(after.home, 'token'));
  const renewed = await start(dir);
  expect(renewed.token).not.toBe(before.token);
  expect(await statusWith(renewed, String(admin))).toBe(401);
}, 120_000);
