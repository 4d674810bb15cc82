import { describe, expect, it } from 'vitest';
import { type Environment, loadSettings } from '../../../src/config/load.ts';
import { AppError, type Problem } from '../../../src/errors.ts';
import { tempDir } from '../../helpers/temp.ts';

/** The problems of a start with these variables; none: it may start. */
function problemsOf(env: Environment): readonly Problem[] {
  try {
    loadSettings({ HOME: '/home/u', ...env }, tempDir());
    return [];
  } catch (error) {
    if (error instanceof AppError) return error.problems;
    throw error;
  }
}

const paths = (env: Environment): readonly string[] => problemsOf(env).map(({ path }) => path);
const HTTPS = 'https://bullpen.example.org';
const PLAIN = 'http://bullpen.example.org:3000';

describe('the address of a start', () => {
  it.each(['127.0.0.1', '127.8.9.1', '127.1', '::1', '::ffff:127.0.0.1', 'localhost', 'LOCALHOST'])(
    '%s is safe: no other machine reaches it',
    (host) => {
      expect(paths({ BULLPEN_HOST: host })).toEqual([]);
      expect(paths({ BULLPEN_HOST: host, BULLPEN_PUBLIC_URL: 'http://localhost:8080' })).toEqual([]);
    },
  );

  it.each(['0.0.0.0', '0', '::', '::0', '10.0.0.1', 'fe80::1%eth0', 'a-machine', 'localhost.example.org'])(
    '%s needs HTTPS in front of it, or the word of the operator',
    (host) => {
      const env = { BULLPEN_HOST: host };
      const [problem, ...others] = problemsOf(env);
      expect([problem?.path, others]).toEqual(['host (BULLPEN_HOST)', []]);
      for (const what of ['BULLPEN_PUBLIC_URL', 'BULLPEN_HOST to 127.0.0.1', 'BULLPEN_ALLOW_PLAIN_HTTP=on']) {
        expect(problem?.message).toContain(what);
      }
      expect(paths({ HOST: host })).toEqual(['host (BULLPEN_HOST)']);
      expect(paths({ ...env, BULLPEN_PUBLIC_URL: 'http://localhost:8080' })).toEqual(['host (BULLPEN_HOST)']);
      expect(paths({ ...env, BULLPEN_PUBLIC_URL: HTTPS })).toEqual([]);
      expect(paths({ ...env, BULLPEN_ALLOW_PLAIN_HTTP: 'on' })).toEqual([]);
      expect(paths({ ...env, BULLPEN_ALLOW_PLAIN_HTTP: 'on', BULLPEN_PUBLIC_URL: PLAIN })).toEqual([]);
    },
  );

  it('is not published in plain HTTP without the word of the operator, also behind a proxy', () => {
    const [problem] = problemsOf({ BULLPEN_PUBLIC_URL: PLAIN });
    expect(problem?.path).toBe('publicUrl (BULLPEN_PUBLIC_URL)');
    expect(problem?.message).toMatch(/set an https:\/\/ address, or BULLPEN_ALLOW_PLAIN_HTTP=on/);
    expect(paths({ BULLPEN_PUBLIC_URL: PLAIN, BULLPEN_ALLOW_PLAIN_HTTP: 'true' })).toEqual([]);
  });

  it.each([
    ...['bullpen.example.org', 'ftp://x', 'https://', 'https://me:secret@x', 'https://x\\y', 'https://x y'],
    ...[`${HTTPS}/path`, `${HTTPS}?a`, `${HTTPS}#a`, 'https://[::1', 'https://x:99999'],
  ])('%s is no public address', (url) => {
    const path = 'publicUrl (BULLPEN_PUBLIC_URL)';
    expect(paths({ BULLPEN_PUBLIC_URL: url })).toEqual([path]);
    expect(paths({ BULLPEN_PUBLIC_URL: url, BULLPEN_ALLOW_PLAIN_HTTP: 'on' })).toEqual([path]);
  });
});

describe('the Redis of a start', () => {
  const allowed = { BULLPEN_ALLOW_INSECURE_REDIS: 'on' };

  it.each(['redis://127.0.0.1:6379', 'redis://localhost', 'redis://[::1]:1', 'rediss://:own-word-9f@db'])(
    '%s is safe: on this machine, or with TLS and a password',
    (url) => {
      expect(paths({ REDIS_URL: url, BULLPEN_WORKER_REDIS_URL: url })).toEqual([]);
    },
  );

  it.each([
    ['redis://db:6379', 'no password and no TLS'],
    ['redis://:own-word-9f@10.0.0.1', 'no TLS'],
    ['rediss://db', 'no password'],
    ['redis://127.0.0.1.example.org', 'no password and no TLS'],
  ])('%s needs the word of the operator: %s', (url, wrong) => {
    const [problem, ...others] = problemsOf({ REDIS_URL: url });
    expect([problem?.path, others]).toEqual(['redisUrl (REDIS_URL)', []]);
    expect(problem?.message).toContain(`with ${wrong};`);
    expect(problem?.message).not.toContain('own-word');
    expect(paths({ BULLPEN_WORKER_REDIS_URL: url })).toEqual(['workerRedisUrl (BULLPEN_WORKER_REDIS_URL)']);
    expect(paths({ REDIS_URL: url, ...allowed })).toEqual([]);
  });

  it('REDIS_PASSWORD is its password', () => {
    expect(paths({ REDIS_URL: 'rediss://db', REDIS_PASSWORD: 'own-word-9f' })).toEqual([]);
  });
});

describe('the proxies of a start', () => {
  it.each(['127.0.0.1', '::1', '10.0.0.0/8', 'fd00::/8,10.1.2.3', '10.0.0.1/32', '::1/128'])(
    '%s are addresses and networks',
    (proxies) => {
      expect(paths({ BULLPEN_TRUST_PROXY: proxies })).toEqual([]);
    },
  );

  it.each([
    'true',
    'proxy',
    '1',
    '10.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    '10.0.0.0/x',
    '10.0.0/8',
  ])('%s would trust something else', (proxies) => {
    expect(problemsOf({ BULLPEN_TRUST_PROXY: `127.0.0.1,${proxies}` })).toEqual([
      {
        path: 'trustProxy (BULLPEN_TRUST_PROXY)',
        message: 'must list addresses or networks of proxies, for example 127.0.0.1,10.0.0.0/8',
      },
    ]);
  });
});

describe('a secret of a start', () => {
  it.each([
    ...['change-me', 'changeme', 'CHANGE_ME!', 'change-me-in-production', 'your-secret-here', 'secret'],
    ...['password', 'PASSWORD', 'redis', 'foobared', 'super-secret', 'admin', 'jwt-secret-key'],
  ])('%s stops it', (secret) => {
    const urls = {
      REDIS_URL: `rediss://u:${encodeURIComponent(secret)}@h`,
      BULLPEN_WORKER_REDIS_URL: `rediss://:${encodeURIComponent(secret)}@h`,
    };
    const secrets = { JWT_SECRET: secret, HMAC_SECRET: secret, REDIS_PASSWORD: secret };
    const problems = problemsOf({ ...urls, ...secrets });
    expect(problems.map(({ path }) => path)).toEqual([
      'redisUrl (REDIS_URL)',
      'workerRedisUrl (BULLPEN_WORKER_REDIS_URL)',
      'jwtSecret (JWT_SECRET)',
      'signingSecret (BULLPEN_SIGNING_SECRET)',
      'REDIS_PASSWORD',
    ]);
    for (const { message } of problems) expect(message).toContain('make one with `openssl rand -hex 32`');
  });

  it('of its own does not, nor an odd password', () => {
    const own = 'f3a9-secret-of-ours-0123456789-abcdef';
    const env = { REDIS_URL: `rediss://u:${own}@h`, JWT_SECRET: own, REDIS_PASSWORD: '' };
    expect(paths({ ...env, BULLPEN_WORKER_REDIS_URL: 'redis://127.0.0.1' })).toEqual([]);
    expect(paths({ REDIS_URL: 'rediss://u:100%25@h' })).toEqual([]);
    expect(paths({ REDIS_URL: 'rediss://u:100%@h' })).toEqual([]);
  });
});

describe('JWTs', () => {
  const SECRET = 'jwtSecret (JWT_SECRET)';
  const KEYS = 'jwtKeys (BULLPEN_JWT_KEYS)';
  const AUDIENCE = 'jwtAudience (BULLPEN_JWT_AUDIENCE)';

  it.each([
    ['f3a9-secret-of-ours', /has fewer than 32 bytes; make one with `openssl rand -hex 32`/],
    [' ', /fewer than 32 bytes/],
    ['a'.repeat(64), /fewer than 8 different characters/],
    ['0123456'.repeat(9), /fewer than 8 different characters/],
  ])('the secret %j stops the start', (secret, message) => {
    expect(problemsOf({ JWT_SECRET: secret })).toEqual([
      { path: SECRET, message: expect.stringMatching(message) },
    ]);
    expect(problemsOf({ BULLPEN_SIGNING_SECRET: secret })).toMatchObject([
      { path: 'signingSecret (BULLPEN_SIGNING_SECRET)', message: expect.stringMatching(message) },
    ]);
    expect(JSON.stringify(problemsOf({ JWT_SECRET: secret }))).not.toContain(`"${secret}"`);
  });

  it('a secret of 32 bytes does not, and an empty one is none', () => {
    expect(paths({ JWT_SECRET: '0123456789abcdef0123456789abcdef' })).toEqual([]);
    expect(paths({ JWT_SECRET: 'schlüssel-schlüssel-schlüssel.' })).toEqual([]);
    expect(paths({ JWT_SECRET: '' })).toEqual([]);
  });

  it.each([
    ['keys.pem', [KEYS]],
    ['ftp://x/jwks', [KEYS]],
    ['https://', [KEYS]],
    ['http://idp.example.org/jwks', [KEYS]],
    ['https://idp.example.org/jwks', []],
    ['http://127.0.0.1:8080/jwks', []],
    ['/etc/bullpen/jwt.pem', []],
  ])('keys at %s', (place, problems) => {
    expect(paths({ BULLPEN_JWT_KEYS: place, BULLPEN_JWT_AUDIENCE: 'bullpen' })).toEqual(problems);
  });

  it('keys need an audience, and exclude a secret', () => {
    const env = { BULLPEN_JWT_KEYS: '/etc/bullpen/jwt.pem' };
    expect(paths(env)).toEqual([AUDIENCE]);
    const JWT_SECRET = '0123456789abcdef0123456789abcdef';
    expect(paths({ ...env, BULLPEN_JWT_AUDIENCE: 'bullpen', JWT_SECRET })).toEqual([KEYS]);
  });
});
