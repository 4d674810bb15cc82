import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { readHidden } from '../../../src/cli/read-stdin.ts';
import { tempDir } from '../../helpers/temp.ts';
import { json, problem, startScriptedServer } from '../client/scripted-server.ts';
import { type as typed } from './harness.ts';

const ME = {
  ...{ principal: 'jwt:ada', project: 'web', scopes: ['jobs:write', 'usage:read'] },
  expiresAt: '2026-11-21T13:00:00.000Z',
};
const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl';

/** A user with a configuration folder of its own. */
function user() {
  const folder = tempDir();
  const file = join(folder, 'bullpen', 'logins.json');
  return {
    file,
    env: { HOME: '/home/u', XDG_CONFIG_HOME: folder },
    stored: () => JSON.parse(readFileSync(file, 'utf8')),
  };
}

test('a login checks the token, stores it for the user alone, and other commands use it', async () => {
  const { env, file, stored } = user();
  const server = await startScriptedServer(json(200, ME), json(200, { data: [] }));
  const { code, out, err } = await typed(['login', `${server.url}/`], { env, stdin: `${TOKEN}\n` });
  expect([code, out]).toEqual([0, '']);
  expect(err).toBe(
    `logged in to ${server.url}/ as jwt:ada, project web
scopes: jobs:write, usage:read
the token ends at 2026-11-21T13:00:00.000Z
commands use it with BULLPEN_URL=${server.url}/
`,
  );
  expect(stored()).toEqual({ [server.url]: TOKEN });
  expect([statSync(file).mode & 0o777, readdirSync(join(file, '..'))]).toEqual([0o600, ['logins.json']]);

  const jobs = await typed(['jobs'], { env: { ...env, BULLPEN_URL: server.url } });
  expect(jobs.code).toBe(0);
  expect(server.requests.map(({ url, headers }) => [url.pathname, headers.authorization])).toEqual([
    ['/v1/me', `Bearer ${TOKEN}`],
    ['/v1/jobs', `Bearer ${TOKEN}`],
  ]);
});

test('a token that the server refuses is not stored, and no message has it', async () => {
  const { env, file } = user();
  const server = await startScriptedServer(problem(401, 'auth.unauthenticated'));
  const login = await typed(['login'], { env: { ...env, BULLPEN_URL: server.url }, stdin: TOKEN });
  expect(login).toEqual({
    code: 77,
    out: '',
    err: `bullpen: the server at ${server.url} refuses the token\n`,
  });
  expect(existsSync(file)).toBe(false);
});

test.each([
  [['login'], '', 64, 'name the server'],
  [['login', 'bullpen.example.org'], TOKEN, 64, 'no http address'],
  [['login', 'https://me:secret@x'], TOKEN, 64, 'no http address'],
  [['login', 'http://127.0.0.1:9', 'x'], TOKEN, 64, 'only one URL'],
  [['login', 'http://127.0.0.1:9'], ' \n', 64, 'no token was given'],
  [['login', 'http://127.0.0.1:9'], null, 64, 'no token was given'],
  [['login', 'http://127.0.0.1:9'], 'two tokens', 64, 'characters that no token has'],
  [['login', 'http://127.0.0.1:9'], TOKEN, 69, 'cannot be reached'],
  [['login', 'http://127.0.0.1:9'], 'x'.repeat(20_000), 64, 'larger than 16384 bytes'],
  [['logout'], '', 64, 'name the server'],
])('%j with %j on stdin stores nothing', async (args, stdin, code, message) => {
  const { env, file } = user();
  const answer = await typed(args, { env, stdin });
  expect([answer.code, existsSync(file)]).toEqual([code, false]);
  expect(answer.err).toContain(message);
  expect(answer.err).not.toContain('secret');
});

test('a logout forgets the token of its server and no other', async () => {
  const { env, stored } = user();
  const server = await startScriptedServer(json(200, { ...ME, scopes: [], expiresAt: null }));
  for (const place of [server.url, `${server.url}/base`])
    expect((await typed(['login', place], { env, stdin: TOKEN })).err).toContain('scopes: none\n');
  const out = await typed(['logout', server.url], { env });
  expect([out.code, out.err]).toEqual([0, `logged out of ${server.url}\n`]);
  expect(stored()).toEqual({ [`${server.url}/base`]: TOKEN });
  expect((await typed(['logout', server.url], { env })).err).toBe(`there was no login for ${server.url}\n`);
  const jobs = await typed(['jobs'], { env: { ...env, BULLPEN_URL: server.url } });
  expect([jobs.code, jobs.err]).toEqual([
    78,
    `bullpen: there is no token for the server that BULLPEN_URL names; log in with \`bullpen login ${server.url}\`, or set BULLPEN_TOKEN\n`,
  ]);
});

test('a refused token of a login says where it comes from', async () => {
  const { env } = user();
  const refusal = problem(401, 'auth.unauthenticated');
  const server = await startScriptedServer(json(200, ME), refusal);
  await typed(['login', server.url], { env, stdin: TOKEN });
  const jobs = await typed(['jobs'], { env: { ...env, BULLPEN_URL: server.url } });
  expect(jobs.err).toBe(
    `bullpen: the token (from \`bullpen login\`) is wrong: the server at ${server.url} refuses it\n`,
  );
});

test('a file that others can read, or that is damaged, is not used and not replaced', async () => {
  const { env, file } = user();
  mkdirSync(join(file, '..'));
  for (const [content, mode, message] of [
    [`{"http://x":"${TOKEN}"}`, 0o644, 'can be read by other users; chmod 600 it'],
    ['{"http://x":', 0o600, 'is damaged; delete it and log in again'],
    ['{"http://x":1}', 0o600, 'is damaged'],
    ['null', 0o600, 'is damaged'],
  ] as const) {
    writeFileSync(file, content);
    chmodSync(file, mode);
    const jobs = await typed(['jobs'], { env: { ...env, BULLPEN_URL: 'http://x' } });
    expect([jobs.code, jobs.err]).toEqual([78, expect.stringContaining(`the file ${file} ${message}`)]);
    expect((await typed(['logout', 'http://x'], { env })).code).toBe(78);
    expect(readFileSync(file, 'utf8')).toBe(content);
  }
});

test('a token that is typed is not shown, can be corrected, and Ctrl-C leaves', async () => {
  const modes: boolean[] = [];
  const terminal = (...keys: string[]) =>
    Object.assign(Readable.from(keys.map((key) => Buffer.from(key))), {
      isTTY: true,
      setRawMode: (on: boolean) => modes.push(on),
    });
  expect(await readHidden(terminal('ab', 'x\u007fc', '\r', 'rest'))).toBe('abc');
  expect(await readHidden(terminal('ab\u0004'))).toBe('ab');
  await expect(readHidden(terminal('ab\u0003'))).rejects.toMatchObject({ exitCode: 130 });
  expect(modes).toEqual([true, false, true, false, true, false]);
  expect(await readHidden(Readable.from([Buffer.from('piped')]))).toBeNull();
});
