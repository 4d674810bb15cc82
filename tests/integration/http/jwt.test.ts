/** A real server whose callers have JWTs of an issuer with a JWKS address. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import type { Job } from '../../../src/protocol/job.ts';
import { ecPair, es256, jwtOf } from '../../fakes/jwts.ts';
import { startServer } from '../../helpers/server.ts';
import { sharedFromStart, whenOver } from '../../helpers/shared.ts';

const { publicKey, privateKey } = ecPair();

/** An issuer that is down at first, and a server that uses it. */
const shared = sharedFromStart(async () => {
  const issuer = { up: false };
  const http = createServer((_, answer) => {
    const key = { kid: 'a', ...publicKey.export({ format: 'jwk' }) };
    answer.writeHead(issuer.up ? 200 : 500).end(issuer.up ? JSON.stringify({ keys: [key] }) : '');
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  whenOver(() => void http.close().closeAllConnections());
  const { port } = http.address() as AddressInfo; // it listens on a port
  const server = await startServer({
    config: { providers: { custom: { echo: { binary: 'cat' } } } },
    env: {
      BULLPEN_PROVIDER: 'echo',
      BULLPEN_WORKERS: '1',
      BULLPEN_JWT_KEYS: `http://127.0.0.1:${port}/jwks`,
      BULLPEN_JWT_AUDIENCE: 'bullpen',
      BULLPEN_JWT_PROJECT_CLAIM: 'team',
    },
  });
  return { issuer, http, server };
});

function bearer(claims: object): { readonly authorization: string } {
  const now = Math.floor(Date.now() / 1000);
  const all = { sub: 'ada', aud: 'bullpen', iat: now, exp: now + 300, ...claims };
  return { authorization: `Bearer ${jwtOf({ alg: 'ES256', kid: 'a' }, all, es256(privateKey))}` };
}
const WEB = { team: 'web', scope: 'jobs:write' };

it('while the keys cannot be fetched, JWTs are 503 and the admin token works', async () => {
  const { server } = shared();
  const refused = await server.api('GET', '/v1/jobs', undefined, bearer(WEB));
  expect([refused.status, await refused.json()]).toMatchObject([503, { code: 'auth.unavailable' }]);
  expect(refused.headers.get('retry-after')).toBe('2');
  expect((await server.api('GET', '/v1/jobs')).status).toBe(200);
  expect(server.log()).toContain('the keys of JWTs cannot be fetched yet');
});

it('then they work at once, and go on when the issuer is down again', async () => {
  const { server, issuer } = shared();
  issuer.up = true;
  const prompt = { prompt: 'of ada' };
  const made = await server.api('POST', '/v1/jobs?wait=30', prompt, bearer(WEB));
  const job = (await made.json()) as Job; // the documented answer
  expect([made.status, job.status, job.outcome?.text?.trim()]).toEqual([200, 'succeeded', 'of ada']);
  issuer.up = false;
  const ask = async (claims: object) =>
    (await server.api('GET', `/v1/jobs/${job.id}`, undefined, bearer(claims))).status;
  expect(await ask({ ...WEB, sub: 'bob', scope: 'jobs:read' })).toBe(200);
  expect(await ask({ ...WEB, team: 'ops' })).toBe(404);
  expect(await ask({ ...WEB, scope: 'usage:read' })).toBe(403);
  expect(await ask({ ...WEB, aud: 'other' })).toBe(401);
  expect(await ask({ scope: 'admin' })).toBe(200);
  const listed = await server.api('GET', '/v1/jobs?principal=jwt:ada&project=web');
  expect(await listed.json()).toMatchObject({ data: [{ id: job.id }] });
});

it('the board opens with a JWT for admin, in the header or as a login', async () => {
  const { server } = shared();
  const statusOf = async (headers: Record<string, string>) =>
    (await fetch(`${server.url}/admin/queues`, { headers, redirect: 'manual' })).status;
  for (const [claims, status] of [
    [{ scope: 'admin' }, 200],
    [WEB, 403],
  ] as const) {
    const { authorization } = bearer(claims);
    const token = authorization.replace('Bearer ', '');
    const login = await fetch(`${server.url}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    });
    const cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    expect([await statusOf({ authorization }), await statusOf({ cookie })]).toEqual([status, status]);
    expect(server.log()).not.toContain(token);
  }
});
