import type { KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createJwtVerifier, type JwtSettings } from '../../../src/auth/jwt.ts';
import { NO_LIMITS, OPEN_GRANT } from '../../../src/protocol/grant.ts';
import {
  ecPair,
  eddsa,
  edPair,
  es256,
  hs256,
  JWT_SECRET,
  jwtOf,
  NO_JWTS,
  pemOf,
  rs256,
  rsaPair,
} from '../../fakes/jwts.ts';
import { tempDir } from '../../helpers/temp.ts';

const NOW = Date.parse('2026-11-29T12:00:00Z');
const SECONDS = NOW / 1000;
const logger = pino({ enabled: false });
const CLAIMS = { sub: 'ada', exp: SECONDS + 60, iat: SECONDS, scope: 'jobs:write usage:read' };

const verifierOf = (settings: Partial<JwtSettings>, now = () => NOW) =>
  createJwtVerifier({ settings: { ...NO_JWTS, ...settings }, now, logger });

/** What a server with a secret says of claims. */
async function ask(claims: object, settings: Partial<JwtSettings> = {}, now?: () => number) {
  const { verify } = await verifierOf({ jwtSecret: JWT_SECRET, ...settings }, now);
  return verify(jwtOf({ alg: 'HS256' }, claims, hs256(JWT_SECRET)));
}

/** What a server with the key in a file says of a JWT. */
async function askWithKey(content: string, token: string) {
  const file = join(tempDir(), 'key');
  writeFileSync(file, content);
  const { verify } = await verifierOf({ jwtKeys: file, jwtAudience: 'bullpen' });
  return (await verify(token)).kind;
}
const FOR_US = { ...CLAIMS, aud: 'bullpen' };
const jwks = (...keys: readonly (readonly [kid: string, key: KeyObject])[]): string =>
  JSON.stringify({ keys: keys.map(([kid, key]) => ({ kid, ...key.export({ format: 'jwk' }) })) });

describe('the claims', () => {
  test('sub, scope and project say who the caller is; scopes of other services are ignored', async () => {
    const scope = 'openid jobs:write usage:read profile';
    expect(await ask({ ...CLAIMS, scope, project: 'web' })).toEqual({
      kind: 'valid',
      principal: {
        id: 'jwt:ada',
        project: 'web',
        scopes: ['jobs:write', 'usage:read'],
        admin: false,
        key: null,
        grant: OPEN_GRANT,
        limits: { ...NO_LIMITS, maxRunning: 2, jobsPerHour: 10 },
        expiresAt: NOW + 60_000 + 15_000,
      },
    });
    expect(await ask({ ...CLAIMS, scope: ['admin'] })).toMatchObject({
      principal: { project: 'default', scopes: ['admin'], admin: true },
    });
    expect(await ask({ ...CLAIMS, scope: undefined })).toMatchObject({ principal: { scopes: [] } });
  });

  test('the project is in the claim that the settings name', async () => {
    const jwtProjectClaim = 'https://example.org/team';
    expect(
      await ask({ ...CLAIMS, [jwtProjectClaim]: 'ops', project: 'web' }, { jwtProjectClaim }),
    ).toMatchObject({ principal: { project: 'ops' } });
  });

  test.each<[string, object, Partial<JwtSettings>?]>([
    ['expired', { exp: SECONDS - 15 }],
    ['without an expiry', { exp: undefined }],
    ['with an expiry that is no number', { exp: `${SECONDS + 60}` }],
    ['with an expiry before all times', { exp: -1 }],
    ['with an expiry after all times', { exp: 1e300 }],
    ['with a start that is no number', { nbf: 'now' }],
    ['with a birth that is no number', { iat: 'now' }],
    ['not valid yet', { nbf: SECONDS + 16 }],
    ['issued in the future', { iat: SECONDS + 16, exp: SECONDS + 60 }],
    ['that lives too long', { exp: SECONDS + 86_401 }],
    ['that lives too long, near its end', { iat: SECONDS - 86_400, exp: SECONDS + 10 }],
    ['that lives too long and hides its birth', { iat: undefined, exp: SECONDS + 86_400 + 16 }],
    ['without a sub', { sub: undefined }],
    ['with an empty sub', { sub: '' }],
    ['with a sub of two lines', { sub: 'a\nb' }],
    ['with a sub of 256 characters', { sub: 'a'.repeat(256) }],
    ['with a sub that is a number', { sub: 1 }],
    ['with a project that cannot be one', { project: 'A b' }],
    ['with a list of projects', { project: ['web'] }],
    ['with project null', { project: null }],
    ['of another issuer', { iss: 'https://b' }, { jwtIssuer: 'https://a' }],
    ['without an issuer', {}, { jwtIssuer: 'https://a' }],
    ['for another audience', { aud: ['b', 'c'] }, { jwtAudience: 'bullpen' }],
    ['without an audience', {}, { jwtAudience: 'bullpen' }],
  ])('one %s is not valid, but no guess', async (_name, claims, settings) => {
    expect(await ask({ ...CLAIMS, ...claims }, settings)).toEqual({ kind: 'ended' });
  });

  test('clocks may differ by less than 15 seconds', async () => {
    for (const claims of [{ exp: SECONDS - 14 }, { nbf: SECONDS + 14 }, { iat: SECONDS + 14 }])
      expect(await ask({ ...CLAIMS, ...claims }), JSON.stringify(claims)).toMatchObject({ kind: 'valid' });
  });

  test('the issuer and the audience of the settings pass', async () => {
    const settings = { jwtIssuer: 'https://a', jwtAudience: 'bullpen' };
    const claims = { ...CLAIMS, iss: 'https://a', aud: ['x', 'bullpen'] };
    expect(await ask(claims, settings)).toMatchObject({ kind: 'valid' });
  });
});

describe('a signature', () => {
  const { publicKey, privateKey } = rsaPair();
  const pem = pemOf(publicKey);

  test('that is missing, or of another key, is a guess', async () => {
    const { verify } = await verifierOf({ jwtSecret: JWT_SECRET });
    const none = (text: string) => Buffer.from(text.slice(0, 0));
    const good = jwtOf({ alg: 'HS256' }, CLAIMS, hs256(JWT_SECRET));
    const [header, payload, signature] = good.split('.');
    const admin = Buffer.from(JSON.stringify({ ...CLAIMS, scope: 'admin' })).toString('base64url');
    for (const token of [
      ...['none', 'None', 'nOnE', ''].map((alg) => jwtOf({ alg }, CLAIMS, none)),
      ...['none', 'None', 'HS384', 'HS512'].map((alg) => jwtOf({ alg }, CLAIMS, hs256(JWT_SECRET))),
      jwtOf({}, CLAIMS, hs256(JWT_SECRET)),
      jwtOf({ alg: 'HS256' }, CLAIMS, hs256(`${JWT_SECRET} `)),
      jwtOf({ alg: 'HS256' }, CLAIMS, hs256('')),
      jwtOf({ alg: 'HS256', crit: ['b64'], b64: false }, CLAIMS, hs256(JWT_SECRET)),
      jwtOf({ alg: 'RS256' }, CLAIMS, rs256(privateKey)),
      `${header}.${admin}.${signature}`,
      good.slice(0, -2),
      'a.b.c',
      `${header}.${payload}.${otherSpelling(signature ?? '')}`,
      jwtOf({ alg: 'HS256' }, [CLAIMS], hs256(JWT_SECRET)),
      jwtOf({ alg: 'HS256', kid: '../../dev/null' }, { ...CLAIMS, sub: 'b' }, hs256('')),
    ]) {
      expect(await verify(token), token).toEqual({ kind: 'wrong' });
    }
    expect(await verify(good)).toMatchObject({ kind: 'valid' });
  });

  test('with the public key as a secret is a guess', async () => {
    for (const secret of [pem, pem.trim(), ` ${pem}`, publicKey.export({ type: 'spki', format: 'der' })])
      expect(await askWithKey(pem, jwtOf({ alg: 'HS256' }, FOR_US, hs256(secret)))).toBe('wrong');
    const set = jwks(['a', publicKey]);
    expect(await askWithKey(set, jwtOf({ alg: 'HS256', kid: 'a' }, FOR_US, hs256(pem)))).toBe('wrong');
  });

  test('counts by the key of the server, whatever the header names: nothing is fetched or read', async () => {
    const [own, other] = [rsaPair(), rsaPair()];
    const asked: (string | undefined)[] = [];
    const trap = createServer((request, response) => {
      asked.push(request.url);
      response.end(jwks(['evil', other.publicKey]));
    });
    await new Promise<void>((done) => trap.listen(0, '127.0.0.1', done));
    onTestFinished(() => void trap.close());
    const address = trap.address();
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/keys`;
    const jwk = other.publicKey.export({ format: 'jwk' });
    for (const header of [
      ...[{ jku: url }, { x5u: url }, { jwk }, { jwk: { kty: 'oct', k: 'AA' } }, { crit: ['exp'] }],
      ...['a', '../../dev/null', '/dev/null', url, "a' OR '1'='1", '', '__proto__'].map((kid) => ({ kid })),
      ...[{ kid: ['a'] }, { kid: { a: 1 } }, { kid: 'a', jku: url, jwk }, { typ: 'at+jwt', jwk }],
    ]) {
      const forged = jwtOf({ alg: 'RS256', ...header }, FOR_US, rs256(other.privateKey));
      for (const keys of [jwks(['a', own.publicKey]), pemOf(own.publicKey)])
        expect(await askWithKey(keys, forged), JSON.stringify(header)).toBe('wrong');
      const secret = jwtOf({ alg: 'HS256', ...header }, CLAIMS, hs256(Buffer.alloc(1)));
      const { verify } = await verifierOf({ jwtSecret: JWT_SECRET });
      expect(await verify(secret), JSON.stringify(header)).toEqual({ kind: 'wrong' });
    }
    expect(asked).toEqual([]);
  });

  test('over claims that are no object, or numbers that are none, is of no use', async () => {
    for (const claims of [[CLAIMS], { ...CLAIMS, exp: -1 }, { ...CLAIMS, exp: 1e300, iat: undefined }])
      expect((await ask(claims)).kind, JSON.stringify(claims)).not.toBe('valid');
    const { verify } = await verifierOf({ jwtSecret: JWT_SECRET });
    for (const claims of ['null', '1', '"x"', '{"sub":"a","exp":1e400}', '{', '[]']) {
      const text = ['{"alg":"HS256"}', claims]
        .map((part) => Buffer.from(part).toString('base64url'))
        .join('.');
      const token = `${text}.${hs256(JWT_SECRET)(text).toString('base64url')}`;
      expect((await verify(token)).kind, claims).not.toBe('valid');
    }
  });

  test('with RS256, ES256 or EdDSA fits the kind of key in a PEM file, and no other', async () => {
    const [ec, ed] = [ecPair(), edPair()];
    const rsaToken = jwtOf({ alg: 'RS256' }, FOR_US, rs256(privateKey));
    const ecToken = jwtOf({ alg: 'ES256' }, FOR_US, es256(ec.privateKey));
    const edToken = jwtOf({ alg: 'EdDSA' }, FOR_US, eddsa(ed.privateKey));
    const pems = [pem, pemOf(ec.publicKey), pemOf(ed.publicKey)];
    for (const [at, token] of [rsaToken, ecToken, edToken].entries()) {
      for (const [other, content] of pems.entries())
        expect(await askWithKey(content, token), `${at} ${other}`).toBe(other === at ? 'valid' : 'wrong');
    }
    expect(await askWithKey(pem, jwtOf({ alg: 'RS512' }, FOR_US, rs256(privateKey)))).toBe('wrong');
  });

  test('in a JWKS is found by its kid, and an unknown one is a guess', async () => {
    const [ec, ed, second] = [ecPair(), edPair(), rsaPair()];
    const set = jwks(['a', publicKey], ['b', ec.publicKey], ['c', ed.publicKey], ['d', second.publicKey]);
    const kid = (name: string | undefined) =>
      askWithKey(set, jwtOf({ alg: 'RS256', kid: name }, FOR_US, rs256(privateKey)));
    expect([await kid('a'), await kid('d'), await kid('x'), await kid(undefined)]).toEqual([
      ...['valid', 'wrong', 'wrong', 'wrong'],
    ]);
    const ecToken = jwtOf({ alg: 'ES256', kid: 'b' }, FOR_US, es256(ec.privateKey));
    const edToken = jwtOf({ alg: 'EdDSA', kid: 'c' }, FOR_US, eddsa(ed.privateKey));
    expect([await askWithKey(set, ecToken), await askWithKey(set, edToken)]).toEqual(['valid', 'valid']);
  });

  test('counts for nothing where no JWTs are accepted', async () => {
    const { verify } = await verifierOf({});
    for (const secret of ['', JWT_SECRET])
      expect(await verify(jwtOf({ alg: 'HS256' }, CLAIMS, hs256(secret)))).toEqual({ kind: 'wrong' });
  });
});

test('a header that names another key or another place of keys is not followed', async () => {
  const { publicKey, privateKey } = rsaPair();
  const address = await serveKeys();
  address.body = jwks(['a', publicKey]);
  const own = { jwk: publicKey.export({ format: 'jwk' }), jku: address.url, x5u: address.url, x5c: ['AA'] };
  const token = jwtOf({ alg: 'RS256', kid: 'a', ...own }, FOR_US, rs256(privateKey));
  expect(await askWithKey(jwks(['b', rsaPair().publicKey]), token)).toBe('wrong');
  expect(await askWithKey(pemOf(rsaPair().publicKey), token)).toBe('wrong');
  expect(address.fetches).toBe(0);
});

describe('a key file stops the start', () => {
  const { publicKey, privateKey } = rsaPair();
  const symmetric = JSON.stringify({ keys: [{ kty: 'oct', k: 'c2VjcmV0' }] });
  test.each([
    ['that is empty', '', /neither a public key in PEM nor a JWKS/],
    [
      'with a private key',
      privateKey.export({ type: 'pkcs8', format: 'pem' }),
      /private key; give the public/,
    ],
    ['with a short key', pemOf(rsaPair(1024).publicKey), /RSA of 2048/],
    ['with another curve', pemOf(ecPair('secp384r1').publicKey), /EC P-256/],
    ['with a JWKS without keys', '{"keys": []}', /is no JWKS/],
    ['with one key instead of a JWKS', JSON.stringify(publicKey.export({ format: 'jwk' })), /is no JWKS/],
    ['with half a JWKS', '{"keys": [', /is no JWKS/],
    ['with a JWKS of private keys', jwks(['a', privateKey]), /private or symmetric key/],
    ['with a JWKS of symmetric keys', symmetric, /private or symmetric key/],
  ])('%s', async (_name, content, message) => {
    const file = join(tempDir(), 'key');
    writeFileSync(file, content);
    await expect(verifierOf({ jwtKeys: file })).rejects.toMatchObject({ code: 'config.invalid', message });
  });

  test('that is not there', async () => {
    const jwtKeys = join(tempDir(), 'none');
    await expect(verifierOf({ jwtKeys })).rejects.toThrow(/cannot be read/);
  });
});

describe('a JWKS at an address', () => {
  test('is fetched at the start, and again for an unknown kid', async () => {
    const [first, second] = [rsaPair(), rsaPair()];
    const address = await serveKeys();
    address.body = jwks(['a', first.publicKey]);
    const verifier = await verifierOf({ jwtKeys: address.url, jwtAudience: 'bullpen' });
    await verifier.start();
    onTestFinished(() => verifier.stop());
    const token = (kid: string, key: KeyObject) => jwtOf({ alg: 'RS256', kid }, FOR_US, rs256(key));
    expect(await verifier.verify(token('a', first.privateKey))).toMatchObject({ kind: 'valid' });
    expect(address.fetches).toBe(1);
    // Within 30 s an unknown kid causes no further fetch.
    expect(await verifier.verify(token('b', second.privateKey))).toEqual({ kind: 'wrong' });
    expect(address.fetches).toBe(1);
    address.body = '{}';
    expect(await verifier.verify(token('a', first.privateKey))).toMatchObject({ kind: 'valid' });
  });

  test.each(['', '{}', '{"keys": 1}'])('that answers %j says that validity is not known', async (body) => {
    const address = await serveKeys();
    address.body = body;
    const verifier = await verifierOf({ jwtKeys: address.url, jwtAudience: 'bullpen' });
    await verifier.start();
    onTestFinished(() => verifier.stop());
    const verified = verifier.verify(jwtOf({ alg: 'RS256' }, FOR_US, rs256(rsaPair().privateKey)));
    await expect(verified).rejects.toMatchObject({ code: 'auth.unavailable', status: 503 });
  });
});

/** The same bytes in base64url with other unused bits at the end. */
function otherSpelling(signature: string): string {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = digits.indexOf(signature.slice(-1));
  const other = signature.slice(0, -1) + digits[last ^ 1];
  expect(Buffer.from(other, 'base64url')).toEqual(Buffer.from(signature, 'base64url'));
  return other;
}

/** Serves `body` on loopback. */
async function serveKeys(): Promise<{ readonly url: string; body: string; fetches: number }> {
  const served = { url: '', body: '', fetches: 0 };
  const server = createServer((_, answer) => {
    served.fetches += 1;
    answer.end(served.body);
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  onTestFinished(() => void server.close().closeAllConnections());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  served.url = `http://127.0.0.1:${port}/jwks`;
  return served;
}
