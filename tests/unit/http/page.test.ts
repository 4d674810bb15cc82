import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { tempDir } from '../../helpers/temp.ts';
import { startHttp } from './harness.ts';

const DOCUMENT = '<!doctype html><div id="page"></div>';
const SCRIPT = 'document.title = "Bullpen";';
const AS_BROWSER = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const PLACES = ['jobs', 'batches', 'sessions', 'terminals', 'usage', 'system'];
const ID = '01K2Y3Z4A5B6C7D8E9F0G1H2J3';

/** A page as Vite writes it, beside a file that is not of it. */
function builtPage(): string {
  const page = join(tempDir(), 'page');
  mkdirSync(join(page, 'assets'), { recursive: true });
  writeFileSync(join(page, '../token'), 'a secret');
  writeFileSync(join(page, 'index.html'), DOCUMENT);
  writeFileSync(join(page, 'assets/index-abc.js'), SCRIPT);
  writeFileSync(join(page, 'assets/index-abc.js.gz'), gzipSync(SCRIPT));
  writeFileSync(join(page, 'assets/plain-abc.css'), 'h1 { color: red }');
  writeFileSync(join(page, 'assets/icon.svg'), '<svg/>');
  return page;
}

const policyOf = ({
  headers,
}: {
  readonly headers: Readonly<Record<string, unknown>>;
}): Map<string, string> =>
  new Map(
    String(headers['content-security-policy'])
      .split('; ')
      .map((part) => [part.replace(/ .*/, ''), part.replace(/^\S+ /, '')]),
  );

test('`/` is JSON for programs, and the document of the page for browsers', async () => {
  await using http = await startHttp({ page: builtPage() });
  const json = await http.app.inject({ url: '/' });
  expect(json.json()).toMatchObject({ name: 'bullpen', version: '1.2.3', links: { docs: '/docs' } });
  const html = await http.app.inject({ url: '/', headers: AS_BROWSER });
  expect(html.headers['content-type']).toBe('text/html; charset=utf-8');
  expect(html.headers['cache-control']).toBe('no-store');
  expect(html.body).toBe(DOCUMENT);
});

test('each place is the document, without a login', async () => {
  await using http = await startHttp({ page: builtPage() });
  for (const url of PLACES.flatMap((place) => [`/${place}`, `/${place}/${ID}`, `/${place}?q=a`])) {
    const answer = await http.app.inject({ url, headers: AS_BROWSER });
    expect([answer.statusCode, answer.body], url).toEqual([200, DOCUMENT]);
    const head = await http.app.inject({ method: 'HEAD', url, headers: AS_BROWSER });
    expect(head.statusCode, url).toBe(200);
    expect((await http.app.inject({ method: 'POST', url })).statusCode, url).toBe(405);
  }
});

test('a place that the page does not have is not found', async () => {
  await using http = await startHttp({ page: builtPage() });
  for (const url of ['/job', '/jobsx', '/index.html', '/page/index.html'])
    expect((await http.app.inject({ url, headers: AS_BROWSER })).statusCode, url).toBe(404);
});

test('documents run scripts and styles of this server only, and write no HTML', async () => {
  await using http = await startHttp({ page: builtPage() });
  for (const url of ['/', ...PLACES.map((place) => `/${place}`)]) {
    const policy = policyOf(await http.app.inject({ url, headers: AS_BROWSER }));
    expect(Object.fromEntries(policy), url).toEqual({
      'default-src': "'none'",
      'script-src': "'self'",
      'style-src': "'self'",
      'img-src': "'self'",
      'font-src': "'self'",
      'connect-src': "'self'",
      'base-uri': "'none'",
      'form-action': "'self'",
      'frame-ancestors': "'none'",
      'require-trusted-types-for': "'script'",
    });
  }
});

test('files are kept by browsers for a year, because their names change with their content', async () => {
  await using http = await startHttp({ page: builtPage() });
  const script = await http.app.inject({ url: '/assets/index-abc.js' });
  expect([script.statusCode, script.body]).toEqual([200, SCRIPT]);
  expect(script.headers).toMatchObject({
    'content-type': 'application/javascript; charset=utf-8',
    'cache-control': 'public, max-age=31536000, immutable',
    'x-content-type-options': 'nosniff',
  });
  const icon = await http.app.inject({ url: '/assets/icon.svg' });
  expect(icon.headers['cache-control']).toBe('public, max-age=3600');
  const head = await http.app.inject({ method: 'HEAD', url: '/assets/index-abc.js' });
  expect([head.statusCode, head.body]).toEqual([200, '']);
});

test('a file is sent compressed to those who can read that', async () => {
  await using http = await startHttp({ page: builtPage() });
  const get = (url: string) => http.app.inject({ url, headers: { 'accept-encoding': 'gzip, br' } });
  const script = await get('/assets/index-abc.js');
  expect(script.headers).toMatchObject({
    'content-encoding': 'gzip',
    'content-type': 'application/javascript; charset=utf-8',
    'cache-control': 'public, max-age=31536000, immutable',
  });
  expect(script.headers.vary).toMatch(/accept-encoding/i);
  expect(gunzipSync(script.rawPayload).toString()).toBe(SCRIPT);
  const style = await get('/assets/plain-abc.css');
  expect([style.headers['content-encoding'], style.body]).toEqual([undefined, 'h1 { color: red }']);
});

const NO_FILES = [
  '/assets/../index.html',
  '/assets/../../token',
  '/assets/..%2f..%2ftoken',
  '/assets/%2e%2e/%2e%2e/token',
  '/assets/..\\..\\token',
  '/assets/....//....//token',
  '/assets//etc/passwd',
  '/assets/',
  '/assets',
  '/assets/index-abc.js/',
  '/assets/none.js',
  '/assets/index-abc.js%00.svg',
];

test('no other address is a file of the page', async () => {
  await using http = await startHttp({ page: builtPage() });
  for (const url of NO_FILES) {
    const answer = await http.app.inject({ url });
    expect(answer.statusCode, url).toBeGreaterThanOrEqual(400);
    expect(answer.statusCode, url).toBeLessThan(500);
    expect(answer.body, url).not.toContain('secret');
    expect(answer.body, url).not.toContain(DOCUMENT);
  }
});

test('a clone without the page says how to build it', async () => {
  await using http = await startHttp();
  await expectNotBuilt(http);
});

test('so does one whose page is removed while the server runs', async () => {
  const page = builtPage();
  await using http = await startHttp({ page });
  rmSync(join(page, 'index.html'));
  await expectNotBuilt(http);
});

async function expectNotBuilt({ app }: Awaited<ReturnType<typeof startHttp>>): Promise<void> {
  for (const url of ['/', '/jobs', '/terminals']) {
    const answer = await app.inject({ url, headers: AS_BROWSER });
    expect(answer.statusCode).toBe(503);
    expect(answer.body).toContain('npm run page');
    expect(answer.headers['content-security-policy']).toContain("default-src 'none'");
  }
  expect((await app.inject({ url: '/' })).statusCode).toBe(200);
}
