import { describe, expect, it, test } from 'vitest';
import { createOwnNames } from '../../../src/http/own-names.ts';
import { ADMIN_TOKEN, asAdmin, startHttp } from './harness.ts';
import { rawRequest } from './raw-socket.ts';

const PUBLIC = 'https://bullpen.example.org';
const FOREIGN = [
  ...['evil.example', 'evil.example:3000', 'localhost.evil.example', 'evil.example:127.0.0.1', 'null'],
  ...['127.0.0.1.evil.example', 'localhost@evil.example', 'localhost/evil', 'localhost#', 'localhost:x', ''],
];

describe('a Host header', () => {
  it.each([
    ...['localhost', 'LOCALHOST:3000', '127.0.0.1', '127.0.0.1:1', '127.9.9.9', '[::1]', '[::1]:3000'],
    ...['127.1', '[::ffff:127.0.0.1]'],
  ])('%j names each server', (host) => {
    for (const place of ['127.0.0.1', '10.0.0.1', '::', 'a-machine']) {
      expect(createOwnNames(place, null).knows(host, undefined), place).toBe(true);
    }
  });

  it.each(FOREIGN)('%j names none', (host) => {
    for (const place of ['127.0.0.1', '0.0.0.0', '::', 'a-machine']) {
      expect(createOwnNames(place, PUBLIC).knows(host, undefined), place).toBe(false);
    }
  });

  it.each([
    ['10.0.0.1', '10.0.0.1:3000', true],
    ['10.0.0.1', '10.0.0.2:3000', false],
    ['127.0.0.1', '10.0.0.1', false],
    ['0.0.0.0', '10.0.0.2:3000', true],
    ['::', '[fd00::1]:3000', true],
    ['::', '10.0.0.2', true],
    ['fd00::1', '[fd00:0::1]', true],
    ['fd00::1', '[fd00::2]', false],
    ['a-machine', 'A-Machine:3000', true],
    ['0.0.0.0', 'a-machine', false],
  ])('of a server that listens on %s: %s is its own: %s', (place, host, own) => {
    expect(createOwnNames(place, null).knows(host, undefined)).toBe(own);
  });

  it.each(['bullpen.example.org', 'bullpen.example.org:443', 'Bullpen.Example.org:8080'])(
    '%s names the server of that public address',
    (host) => {
      expect(createOwnNames('127.0.0.1', PUBLIC).knows(host, undefined)).toBe(true);
      expect(createOwnNames('127.0.0.1', null).knows(host, undefined)).toBe(false);
    },
  );
});

test('a server that listens on a name also has the address behind it', () => {
  const names = createOwnNames('a-machine', null);
  expect(names.knows('10.0.0.5:3000', '10.0.0.5')).toBe(true);
  expect(names.knows('[fd00::1]:3000', 'fd00::1')).toBe(true);
  expect(names.knows('10.0.0.6:3000', '10.0.0.5')).toBe(false);
  expect(names.knows('evil.example', '10.0.0.5')).toBe(false);
});

test('a request for another name is 421 at every path, with a token and whatever a proxy header says', async () => {
  await using http = await startHttp({ place: { trustProxy: ['127.0.0.1'] } });
  const base = await http.listen();
  const lines = ['Host: evil.example', 'X-Forwarded-Host: localhost', 'Connection: close'];
  for (const path of ['/', '/login', '/health', '/docs', '/v1/jobs', '/admin/queues', '/missing']) {
    const answer = await rawRequest(base, [
      `GET ${path} HTTP/1.1`,
      ...lines,
      `Authorization: Bearer ${ADMIN_TOKEN}`,
    ]);
    expect(answer, path).toMatch(/^HTTP\/1\.1 421 .*"code":"request\.misdirected"/s);
    expect(answer, path).toContain('set BULLPEN_PUBLIC_URL');
  }
  expect(await rawRequest(base, ['GET /health HTTP/1.0'])).toMatch(/^HTTP\/1\.1 200 /); // a probe
});

describe('the login cookie of a server with a public address', () => {
  const place = { publicUrl: PUBLIC };
  const login = { method: 'POST', url: '/login', payload: { token: ADMIN_TOKEN } } as const;

  it('is valid from its pages, whatever Host the proxy sends, and from no other origin', async () => {
    await using http = await startHttp({ place });
    const { headers } = await http.app.inject(login);
    const cookie = String(headers['set-cookie']).split(';', 1).join('');
    const post = (host: string, origin: string) =>
      http.app
        .inject({
          method: 'POST',
          url: '/v1/jobs',
          headers: { cookie, host, origin },
          payload: { prompt: 'x' },
        })
        .then(({ statusCode }) => statusCode);
    for (const host of ['bullpen.example.org', '127.0.0.1:3000']) {
      expect(await post(host, PUBLIC)).toBe(202);
      expect(await post(host, 'http://bullpen.example.org')).toBe(403);
      expect(await post(host, `${PUBLIC}.evil.example`)).toBe(403);
      expect(await post(host, `${PUBLIC}:8443`)).toBe(403);
      expect(await post(host, 'null')).toBe(403);
    }
    expect(await post('127.0.0.1:3000', 'http://127.0.0.1:3000')).toBe(202);
    expect(await post('127.0.0.1:3000', 'http://127.0.0.1:8080')).toBe(403);
  });

  it('crosses no plain HTTP when it was made over HTTPS', async () => {
    await using http = await startHttp({ place });
    const flags = async (origin: string, host: string) =>
      String((await http.app.inject({ ...login, headers: { origin, host } })).headers['set-cookie']);
    expect(await flags(PUBLIC, 'bullpen.example.org')).toMatch(/; HttpOnly; Secure; SameSite=Strict$/);
    expect(await flags('http://localhost', 'localhost')).toMatch(/; HttpOnly; SameSite=Strict$/);
  });
});

test('browsers are kept on HTTPS when the public address has it, except on localhost', async () => {
  for (const [publicUrl, header] of [
    [PUBLIC, 'max-age=31536000'],
    ['https://localhost:8443', undefined],
    ['http://bullpen.lan:3000', undefined],
    [null, undefined],
  ] as const) {
    await using http = await startHttp({ place: { publicUrl } });
    const answer = await http.app.inject({ url: '/login' });
    expect(answer.headers['strict-transport-security'], String(publicUrl)).toBe(header);
  }
});

test.each([
  [[], '127.0.0.1'],
  [['127.0.0.1'], '203.0.113.9'],
  [['127.0.0.0/8'], '203.0.113.9'],
  [['10.0.0.0/8'], '127.0.0.1'],
  [['127.0.0.1', '203.0.113.0/24'], '198.51.100.7'],
])('with the proxies %j, the caller in the log is %s', async (trustProxy, from) => {
  await using http = await startHttp({ place: { trustProxy } });
  await http.app.inject({
    url: '/health',
    headers: { ...asAdmin, 'x-forwarded-for': '198.51.100.7, 203.0.113.9' },
  });
  expect(
    http.log.filter((line) => line.includes('request answered')).map((line) => JSON.parse(line)),
  ).toEqual([expect.objectContaining({ route: '/health', from })]);
});
