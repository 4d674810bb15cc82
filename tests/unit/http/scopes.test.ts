/** Every route of the OpenAPI document with every kind of token, compared with a table. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN_PRINCIPAL } from '../../../src/auth/principal.ts';
import { OPEN_GRANT } from '../../../src/protocol/grant.ts';
import type { KeyRequest, Scope } from '../../../src/protocol/key.ts';
import { SCOPES } from '../../../src/protocol/key.ts';
import { hs256, jwtOf, pemOf, rs256, rsaPair } from '../../fakes/jwts.ts';
import { callerOf } from '../../fakes/principals.ts';
import { makeTempDir, removeDir } from '../../helpers/temp.ts';
import { ADMIN_TOKEN, startHttp } from './harness.ts';

/** The operations that each scope opens, besides those of `caller`; `admin` opens all. */
const TABLE: Readonly<Record<'public' | 'caller' | Scope, readonly string[]>> = {
  public: ['getIndex', 'getHealth', 'getReadiness', 'getExecutorHealth', 'logIn', 'logOut'],
  caller: ['createLoginLink', 'getMe', 'getPreferences', 'setPreferences', 'getOpenApi', 'listProviders'],
  'jobs:read': [
    ...['listJobs', 'getJob', 'listExecutions', 'streamJob', 'streamChanges', 'createStreamToken'],
    ...['listBatches', 'getBatch', 'getBatchResults', 'streamBatch', 'getQueue'],
  ],
  'jobs:write': [
    ...['createJob', 'changeJob', 'cancelJob', 'retryJob', 'deleteJob', 'cancelJobs', 'retryJobs'],
    ...['createBatch', 'cancelBatch', 'messageJob'],
  ],
  'sessions:read': [
    ...['listSessions', 'getSession', 'listTurns', 'streamSession', 'getScreen', 'getRecording'],
    'getHistory',
  ],
  'sessions:write': [
    ...['createSession', 'messageSession', 'interruptSession', 'forkSession', 'closeSession'],
    'deleteSession',
  ],
  terminals: ['typeIntoTerminal', 'resizeTerminal', 'signalTerminal'],
  'approvals:read': ['listApprovals', 'getApproval'],
  'approvals:decide': ['decideApproval'],
  'schedules:write': [],
  'webhooks:write': [],
  'audit:read': ['listAudit'],
  'usage:read': ['getUsage'],
  'metrics:read': ['getMetrics'],
  admin: [
    ...['listKeys', 'createKey', 'revokeKey', 'rotateKey', 'listProcesses', 'getProcess', 'terminateProcess'],
    ...['cleanUpProvider', 'resumeProvider', 'pauseQueue', 'resumeQueue', 'listNodes', 'drainNode'],
    ...['resumeNode', 'verifyAudit', 'listSettings'],
  ],
};

const opens = (scope: Scope): readonly string[] => [
  ...TABLE.caller,
  ...TABLE[scope],
  ...(scope === 'jobs:write' ? TABLE['jobs:read'] : []),
  ...(scope === 'sessions:write' ? TABLE['sessions:read'] : []),
  ...(scope === 'approvals:decide' ? TABLE['approvals:read'] : []),
  ...(scope === 'admin' ? Object.values(TABLE).flat() : []),
];

const BODIES: Readonly<Record<string, object>> = {
  createJob: { prompt: 'x' },
  changeJob: { tags: ['x'] },
  cancelJobs: { filter: {}, all: true },
  retryJobs: { filter: {}, all: true },
  createBatch: { prompts: [{ prompt: 'x' }] },
  createSession: {},
  typeIntoTerminal: { data: 'x' },
  resizeTerminal: { cols: 1, rows: 1 },
  signalTerminal: { signal: 'INT' },
  messageSession: { prompt: 'x' },
  messageJob: { prompt: 'x' },
  decideApproval: { decision: 'allow' },
  createKey: { name: 'x', scopes: ['jobs:read'] },
  logIn: { token: 'x' },
  setPreferences: {},
};

interface Route {
  readonly name: string;
  readonly method: string;
  readonly path: string;
}

let now = Date.parse('2026-11-21T12:00:00Z');
const dir = makeTempDir();
let http: Awaited<ReturnType<typeof startHttp>>;
let url = '';
let routes: readonly Route[] = [];
const owned = { job: '', batch: '', session: '', approval: '' };

beforeAll(async () => {
  const file = join(dir, 'jwks.json');
  writeFileSync(file, JSON.stringify({ keys: [{ kid: 'a', ...publicKey.export({ format: 'jwk' }) }] }));
  const jwt = { jwtKeys: file, jwtIssuer: 'https://idp', jwtAudience: 'bullpen' };
  http = await startHttp({ clocks: { now: () => now }, jwt });
  url = await http.listen();
  const owner = callerOf('key:owner', 'web');
  owned.job = (await http.jobs.create(owner, { prompt: 'secret of web' }, null)).job.id;
  const items = [{ customId: null, prompt: { prompt: 'secret of web' } }];
  owned.batch = (await http.batches.create(owner, items, null)).batch.id;
  owned.session = (await http.sessions.create(owner, { name: 'secret of web' }, null)).session.id;
  owned.approval = http.approvals.add({ project: 'web', input: { command: 'secret of web' } }).id;
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
  const { paths } = (await http.app.inject({ url: '/openapi.json', headers })).json();
  routes = Object.entries<Record<string, { operationId: string }>>(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { operationId }]) => ({ name: operationId, method, path })),
  );
});
afterAll(async () => {
  await http[Symbol.asyncDispose]();
  removeDir(dir);
});

/** A key's token. */
async function tokenOf(request: Partial<KeyRequest>): Promise<{ id: string; token: string }> {
  const given = { name: 'test', scopes: ['jobs:read' as const], ...request };
  const { id, token } = await http.keys.create(ADMIN_PRINCIPAL, given, null);
  return { id, token: token ?? expect.unreachable() };
}

const { publicKey, privateKey } = rsaPair();

/** A JWT of the issuer that the server knows; `header` and `claims` replace what is right. */
function jwt(claims: object = {}, header: object = {}, signed = rs256(privateKey)): string {
  const [issued, names] = [now / 1000, { iss: 'https://idp', aud: 'bullpen', sub: 'ada', project: 'web' }];
  const all = { ...names, scope: 'admin', iat: issued, exp: issued + 60, ...claims };
  return jwtOf({ alg: 'RS256', kid: 'a', ...header }, all, signed);
}

/** The kind of thing that a path is about. */
const nounOf = (path: string): keyof typeof owned =>
  (['batch', 'session', 'approval'] as const).find((noun) => path.startsWith(`/v1/${noun}`)) ?? 'job';

/** The answer to a request for what project web owns. Its body is read unless it is a stream. */
async function ask({ name, method, path }: Route, token: string | null) {
  const noun = nounOf(path);
  const id = owned[noun];
  const body = name === 'createStreamToken' ? { jobId: owned.job } : BODIES[name];
  const leaving = new AbortController();
  const response = await fetch(url + path.replace('{id}', id).replace('{name}', 'claude'), {
    method: method.toUpperCase(),
    signal: leaving.signal,
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
  const text = isStream ? '' : await response.text();
  leaving.abort();
  return { status: response.status, text };
}

/** What became of each operation for one token. */
async function walk(token: string | null): Promise<Record<string, string>> {
  const outcomes: Record<string, string> = {};
  for (const route of routes) {
    const { status, text } = await ask(route, token);
    const code = status >= 400 && text.startsWith('{') ? JSON.parse(text).code : undefined;
    const refused = code === 'auth.unauthenticated' || code === 'auth.forbidden';
    outcomes[route.name] = refused ? code : 'open';
    expect(status, `${route.name} ${text}`).not.toBe(500);
  }
  return outcomes;
}

/** The outcomes when only these operations are open. */
const only = (open: readonly string[], otherwise: string): Record<string, string> => ({
  ...Object.fromEntries(
    routes.map(({ name }) => [name, [...TABLE.public, ...open].includes(name) ? 'open' : otherwise]),
  ),
  logIn: 'auth.unauthenticated', // it looks at the token of its body
});

test('the table has every route, once', () => {
  expect(Object.values(TABLE).flat().sort()).toEqual(routes.map(({ name }) => name).sort());
});

describe('every route', () => {
  test.each(SCOPES.map((scope) => [scope]))('with a key for %s', async (scope) => {
    const { token } = await tokenOf({ project: 'web', scopes: [scope] });
    expect(await walk(token)).toEqual(only(opens(scope), 'auth.forbidden'));
  });

  test('without a token, or with one that is malformed, wrong, expired, revoked or rotated', async () => {
    const expired = await tokenOf({ scopes: ['admin'], expiresAt: new Date(now + 1000).toISOString() });
    const revoked = await tokenOf({ scopes: ['admin'] });
    await http.keys.revoke(ADMIN_PRINCIPAL, revoked.id);
    const rotated = await tokenOf({ scopes: ['admin'] });
    await http.keys.rotate(ADMIN_PRINCIPAL, rotated.id);
    const live = await tokenOf({ scopes: ['admin'] });
    now += 1000;
    const other = live.token.endsWith('A') ? 'B' : 'A';
    const wrong = [
      ...[null, 'x', 'bp_', `bp_${live.id}`, `bp_${live.id}_`, live.token.slice(0, -1)],
      ...[`${live.token}x`, live.token.toLowerCase(), live.token.slice(0, -2) + other.repeat(2)],
      ...[expired.token, revoked.token, rotated.token],
    ];
    for (const token of wrong)
      expect(await walk(token), `${token}`).toEqual(only([], 'auth.unauthenticated'));
  });

  test.each(SCOPES.map((scope) => [scope]))('with a JWT for %s', async (scope) => {
    const outcomes = await walk(jwt({ scope: `openid ${scope}` }));
    expect(outcomes).toEqual(only(opens(scope), 'auth.forbidden'));
  });

  test('with the token of a job of an admin: it decides and administers nothing, and ends with it', async () => {
    const grant = { ...OPEN_GRANT, scopes: ['admin'], key: null };
    const execution = { executionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C', project: 'web' };
    const job = { jobId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7B', ...execution, grant };
    http.running.push(job);
    const token = (await http.jobTokens.variables(job))?.['BULLPEN_JOB_TOKEN'] ?? expect.unreachable();
    const scopes = ['jobs:write', 'sessions:write', 'approvals:read', 'usage:read'] as const;
    expect(await walk(token)).toEqual({
      ...only(scopes.flatMap(opens), 'auth.forbidden'),
      // They are for people.
      ...{ getPreferences: 'auth.forbidden', setPreferences: 'auth.forbidden' },
      createLoginLink: 'auth.forbidden',
    });
    http.running.pop();
    expect(await walk(token)).toEqual(only([], 'auth.unauthenticated'));
  });

  test('with a JWT without a scope of this server', async () => {
    expect(await walk(jwt({ scope: 'openid profile' }))).toEqual(only(TABLE.caller, 'auth.forbidden'));
  });

  test('with a JWT that is expired, misaddressed, malformed, forged or signed in another way', async () => {
    const pem = pemOf(publicKey);
    const good = jwt();
    const [header, claims, signature] = good.split('.');
    const wrong = {
      expired: jwt({ exp: now / 1000 - 20 }),
      'without an expiry': jwt({ exp: undefined }),
      'with a life of a week': jwt({ exp: now / 1000 + 7 * 86_400 }),
      'not valid yet': jwt({ nbf: now / 1000 + 60 }),
      'of another issuer': jwt({ iss: 'https://other' }),
      'without an issuer': jwt({ iss: undefined }),
      'for another audience': jwt({ aud: 'other' }),
      'without a sub': jwt({ sub: undefined }),
      'with a malformed project': jwt({ project: '../web' }),
      'alg none': jwt({}, { alg: 'none' }, () => Buffer.alloc(0)),
      'alg None with a signature': jwt({}, { alg: 'None' }),
      'HS256 with the public key': jwt({}, { alg: 'HS256' }, hs256(pem)),
      'HS256 with an empty secret': jwt({}, { alg: 'HS256' }, hs256('')),
      'RS512 in its header': jwt({}, { alg: 'RS512' }),
      'of another key': jwt({}, {}, rs256(rsaPair().privateKey)),
      'with an unknown kid': jwt({}, { kid: 'b' }),
      'with its own key': jwt({}, { kid: 'b', jwk: publicKey.export({ format: 'jwk' }) }),
      'with an unknown crit': jwt({}, { crit: ['x'], x: 1 }),
      'without a signature': `${header}.${claims}.`,
      'with a part more': `${good}.x`,
      'with the signature of another one': `${header}.${jwt({ sub: 'b' }).split('.')[1]}.${signature}`,
    };
    for (const [name, token] of Object.entries(wrong))
      expect(await walk(token), name).toEqual(only([], 'auth.unauthenticated'));
    expect((await walk(good))['listKeys']).toBe('open');
  });

  test.each([
    ['key', async (scopes: Scope[]) => (await tokenOf({ project: 'ops', scopes })).token],
    ['JWT', async (scopes: Scope[]) => jwt({ sub: 'eve', project: 'ops', scope: scopes.join(' ') })],
  ])("with a stranger's %s says nothing of what another project owns", async (_kind, tokenFor) => {
    const scopes = ['jobs:write', 'sessions:write', 'approvals:decide'] as const;
    const token = await tokenFor([...scopes, 'usage:read']);
    const named = scopes.flatMap(opens).filter((name) => !TABLE.caller.includes(name));
    // First those that only read: the others make jobs of its own.
    const asked = routes
      .filter(({ name }) => named.includes(name) && name !== 'streamBatch') // no feed over the fakes
      .sort((a, b) => Number(b.method === 'get') - Number(a.method === 'get'));
    for (const route of asked) {
      const { status, text } = await ask(route, token);
      if (route.path.includes('{id}') || route.name === 'createStreamToken') {
        const noun = nounOf(route.path);
        expect([status, JSON.parse(text).code], route.name).toEqual([404, `${noun}.not_found`]);
      } else {
        expect(status, route.name).toBeLessThan(300);
        for (const secret of ['secret of web', ...Object.values(owned)])
          expect(text, route.name).not.toContain(secret);
      }
    }
    const same = await tokenOf({ project: 'web', scopes: ['jobs:read'] });
    const own = await ask({ name: 'getJob', method: 'get', path: '/v1/jobs/{id}' }, same.token);
    expect([own.status, own.text.includes('secret of web')]).toEqual([200, true]);
  });
});
