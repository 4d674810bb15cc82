/** What a start of `bullpen executor`, and of a server that uses one, needs to be safe. */
import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Environment, loadSettings } from '../../../src/config/load.ts';
import { readSecretFile } from '../../../src/config/own-file.ts';
import type { Program } from '../../../src/config/safe-start.ts';
import { AppError, type Problem } from '../../../src/errors.ts';
import { tempDir } from '../../helpers/temp.ts';

function problemsOf(program: Program, env: Environment): readonly Problem[] {
  try {
    loadSettings({ HOME: '/home/u', ...env }, tempDir(), program);
    return [];
  } catch (error) {
    if (error instanceof AppError) return error.problems;
    throw error;
  }
}

const paths = (program: Program, env: Environment) => problemsOf(program, env).map(({ path }) => path);

const SECRET = '0123456789abcdef0123456789abcdef';
const OTHER = 'fedcba9876543210fedcba9876543210';
const IN_VARIABLE = 'serviceSecrets (CLAUDE_SERVICE_SECRET)';
const IN_FILE = 'serviceSecretFile (CLAUDE_SERVICE_SECRET_FILE)';
const URL_PATH = 'serviceUrl (CLAUDE_SERVICE_URL)';
const HOST_PATH = 'serviceHost (CLAUDE_SERVICE_HOST)';
const HTTP = { BULLPEN_EXECUTOR: 'http', CLAUDE_SERVICE_SECRET: SECRET };

function fileWith(text: string, mode = 0o600): string {
  const file = join(tempDir(), 'secret');
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

describe('a server whose CLIs run elsewhere', () => {
  it('needs a secret; one whose CLIs run here does not', () => {
    const [problem, ...others] = problemsOf('server', { BULLPEN_EXECUTOR: 'http' });
    expect([problem?.path, others]).toEqual([IN_VARIABLE, []]);
    for (const what of ['BULLPEN_EXECUTOR=http', 'CLAUDE_SERVICE_SECRET_FILE', 'openssl rand -hex 32'])
      expect(problem?.message).toContain(what);
    expect(paths('server', { ARCH_MODE: 'modular' })).toEqual([IN_VARIABLE]);
    expect(paths('server', HTTP)).toEqual([]);
    expect(paths('server', {})).toEqual([]);
  });

  it.each(['http://127.0.0.1:3001', 'http://localhost:3001/', 'http://[::1]:3001', 'https://executor:3001'])(
    'may use %s',
    (url) => {
      expect(paths('server', { ...HTTP, CLAUDE_SERVICE_URL: url })).toEqual([]);
    },
  );

  it.each([
    ['a path', 'https://executor/bullpen'],
    ['a query', 'https://executor/?a=b'],
    ['a user and a password', 'https://user:a-password@executor'],
    ['another scheme', 'ftp://executor'],
    ['no scheme', 'executor:3001'],
  ])('takes no address with %s, and says how one looks', (_, url) => {
    const [problem, ...others] = problemsOf('server', { ...HTTP, CLAUDE_SERVICE_URL: url });
    expect([problem?.path, others]).toEqual([URL_PATH, []]);
    expect(problem?.message).toMatch(/^must be http:\/\/HOST or https:\/\/HOST/);
  });

  it('gives jobs no tokens: they could not be used there', () => {
    const env = { ...HTTP, BULLPEN_JOB_TOKENS: 'on' };
    const [problem, ...others] = problemsOf('server', env);
    expect([problem?.path, others]).toEqual(['jobTokens (BULLPEN_JOB_TOKENS)', []]);
    expect(problem?.message).toContain('BULLPEN_EXECUTOR=http');
    expect(paths('server', { ...env, BULLPEN_EXECUTOR: 'local' })).toEqual([]);
  });

  it('uses no plain HTTP to another machine without the word of the operator', () => {
    const env = { ...HTTP, CLAUDE_SERVICE_URL: 'http://executor:3001' };
    const [problem, ...others] = problemsOf('server', env);
    expect([problem?.path, others]).toEqual([URL_PATH, []]);
    expect(problem?.message).toMatch(/set an https:\/\/ address, or BULLPEN_ALLOW_PLAIN_HTTP=on/);
    expect(paths('server', { ...env, BULLPEN_ALLOW_PLAIN_HTTP: 'on' })).toEqual([]);
    expect(paths('server', { ...env, BULLPEN_EXECUTOR: 'local' })).toEqual([]);
  });

  it.each(['executor:3001', 'ftp://x', 'https://', 'https://me:word@x', 'https://x/y', 'http://x:99999'])(
    '%s is no address of an executor',
    (url) => {
      expect(paths('server', { ...HTTP, CLAUDE_SERVICE_URL: url })).toEqual([URL_PATH]);
    },
  );

  it('gives no tokens to jobs', () => {
    const env = { ...HTTP, BULLPEN_JOB_TOKENS: 'on' };
    expect(paths('server', env)).toEqual(['jobTokens (BULLPEN_JOB_TOKENS)']);
    expect(paths('executor', env)).toEqual([]);
  });

  it('needs nothing that only the executor needs', () => {
    expect(paths('server', { ...HTTP, CLAUDE_SERVICE_HOST: '0.0.0.0' })).toEqual([]);
  });
});

describe('an executor', () => {
  const own = { CLAUDE_SERVICE_SECRET: SECRET };

  it('needs a secret', () => {
    const [problem, ...others] = problemsOf('executor', {});
    expect([problem?.path, others]).toEqual([IN_VARIABLE, []]);
    expect(problem?.message).toContain('by `bullpen executor`');
    expect(paths('executor', { CLAUDE_SERVICE_SECRET: ' , ' })).toEqual([IN_VARIABLE]);
    expect(paths('executor', own)).toEqual([]);
  });

  it.each(['127.0.0.1', '::1', 'localhost'])('is safe on %s', (host) => {
    expect(paths('executor', { ...own, CLAUDE_SERVICE_HOST: host })).toEqual([]);
  });

  it.each(['0.0.0.0', '::', '10.0.0.1', 'executor'])('on %s needs TLS in front of it', (host) => {
    const env = { ...own, CLAUDE_SERVICE_HOST: host };
    const [problem, ...others] = problemsOf('executor', env);
    expect([problem?.path, others]).toEqual([HOST_PATH, []]);
    for (const what of [
      'CLAUDE_SERVICE_HOST to 127.0.0.1',
      'a proxy that ends TLS',
      'BULLPEN_ALLOW_PLAIN_HTTP',
    ])
      expect(problem?.message).toContain(what);
    expect(paths('executor', { ...env, BULLPEN_ALLOW_PLAIN_HTTP: 'on' })).toEqual([]);
  });

  it('needs nothing that only a server needs', () => {
    const server = { BULLPEN_HOST: '0.0.0.0', REDIS_URL: 'redis://db:6379', JWT_SECRET: 'change-me' };
    expect(paths('executor', { ...own, ...server })).toEqual([]);
    expect(paths('executor', { ...own, BULLPEN_EXECUTOR: 'http', CLAUDE_SERVICE_URL: 'http://x' })).toEqual(
      [],
    );
  });
});

describe.each(['server', 'executor'] as const)('the secret of a start (%s)', (program) => {
  const KNOWN = /a password of examples/;
  it.each([
    ['change-me', KNOWN],
    ['CHANGE_ME', KNOWN],
    ['change-me-in-production-please-1234567', KNOWN],
    ['f3a9-secret-of-ours', /fewer than 32 bytes; make one with `openssl rand -hex 32`/],
    ['a'.repeat(64), /fewer than 8 different characters/],
  ])('%s stops it, in a variable or a file, first or second', (secret, message) => {
    const wrong = (path: string) => [{ path, message: expect.stringMatching(message) }];
    for (const text of [secret, `${SECRET},${secret}`, `${secret},${SECRET}`]) {
      const inVariable = problemsOf(program, { CLAUDE_SERVICE_SECRET: text });
      expect(inVariable).toEqual(wrong(IN_VARIABLE));
      const file = fileWith(text.replace(',', '\n'));
      const inFile = problemsOf(program, { CLAUDE_SERVICE_SECRET_FILE: file });
      expect(inFile).toEqual(wrong(IN_FILE));
      expect(JSON.stringify([inVariable, inFile])).not.toContain(secret);
    }
  });

  it('may be two while it is changed, and no more', () => {
    const text = [SECRET, OTHER, `${SECRET}${OTHER}`];
    const two = { CLAUDE_SERVICE_SECRET: text.slice(0, 2).join(', ') };
    expect(loadSettings({ HOME: '/h', ...two }, tempDir(), program).serviceSecrets).toEqual([SECRET, OTHER]);
    const problems = problemsOf(program, { CLAUDE_SERVICE_SECRET: text.join(',') });
    expect(problems).toEqual([{ path: IN_VARIABLE, message: expect.stringContaining('3 secrets') }]);
    const file = fileWith(text.join('\n'));
    expect(paths(program, { CLAUDE_SERVICE_SECRET_FILE: file })).toEqual([IN_FILE]);
    expect(JSON.stringify(problems)).not.toContain(SECRET);
  });

  it('is in a file, one a line', () => {
    const file = fileWith(`\n${SECRET}\r\n  ${OTHER}\n`);
    const settings = loadSettings({ HOME: '/h', CLAUDE_SERVICE_SECRET_FILE: file }, tempDir(), program);
    expect(settings).toMatchObject({ serviceSecrets: [SECRET, OTHER], serviceSecretFile: file });
  });

  it('is in the variable or in the file', () => {
    const env = { CLAUDE_SERVICE_SECRET: SECRET, CLAUDE_SERVICE_SECRET_FILE: fileWith(SECRET) };
    expect(problemsOf(program, env)).toEqual([
      { path: IN_FILE, message: 'and CLAUDE_SERVICE_SECRET exclude each other' },
    ]);
  });
});

describe('the file with the secret', () => {
  const problemsWith = (file: string) => problemsOf('executor', { CLAUDE_SERVICE_SECRET_FILE: file });

  it('may be relative to where the program was started', () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'secret'), SECRET, { mode: 0o600 });
    const env = { HOME: '/h', CLAUDE_SERVICE_SECRET_FILE: 'secret' };
    expect(loadSettings(env, dir, 'executor').serviceSecrets).toEqual([SECRET]);
  });

  it.each([
    ['is empty', '', 'holds no secret'],
    ['has empty lines alone', ' \n\n', 'holds no secret'],
    ['is far too long', `${SECRET}\n`.repeat(200), 'more than 4096 bytes'],
  ])('that %s is refused', (_, text, message) => {
    const problems = problemsWith(fileWith(text));
    expect(problems[0]).toEqual({ path: IN_FILE, message: expect.stringContaining(message) });
    expect(JSON.stringify(problems)).not.toContain(SECRET);
  });

  it('that is not there, or is a folder, is refused', () => {
    for (const place of [join(tempDir(), 'none'), tempDir()]) {
      expect(problemsWith(place)[0]).toEqual({
        path: IN_FILE,
        message: expect.stringMatching(/cannot be read \((ENOENT|EISDIR)\)/),
      });
    }
  });

  it('that every user may write is refused', () => {
    const [problem] = problemsWith(fileWith(SECRET, 0o666));
    expect(problem?.message).toMatch(/by every user, so it is not read/);
  });

  it('of this user that every user may read is refused', () => {
    const self = 12_345;
    const file = fileWith(SECRET, 0o644);
    if (process.getuid?.() === 0) chownSync(file, self, self);
    const read = () => readSecretFile(file, process.getuid?.() === 0 ? self : process.getuid?.());
    expect(read).toThrow('can be read by every user, so it is not read (chmod o-r)');
    chmodSync(file, 0o640);
    expect(read()).toEqual([SECRET]);
  });

  it.runIf(process.getuid?.() === 0)('of root may be read by every user, as a mounted secret is', () => {
    const file = fileWith(SECRET, 0o444);
    expect(readSecretFile(file, 1000)).toEqual([SECRET]);
    expect(readSecretFile(file, 0)).toEqual([SECRET]);
  });

  it.runIf(process.getuid?.() === 0)('of another user is refused', () => {
    const file = fileWith(SECRET);
    chownSync(file, 65_534, 65_534);
    expect(problemsWith(file)[0]?.message).toContain('belongs to another user');
  });
});
