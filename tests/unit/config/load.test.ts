import { chmodSync, chownSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type Environment, loadSettings } from '../../../src/config/load.ts';
import { SETTINGS } from '../../../src/config/schema.ts';
import { AppError } from '../../../src/errors.ts';
import { tempDir } from '../../helpers/temp.ts';

/** `as`: TypeBox keeps custom keywords on the schema but not in its type. */
const variableOf = (setting: unknown): string => (setting as { env: string }).env;
const VARIABLES = Object.values(SETTINGS).map(variableOf);
const SECRET = 'hunter2-correct-horse';

function refusal(env: Environment, cwd: string): AppError {
  try {
    loadSettings(env, cwd);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    if (error instanceof AppError) return error;
  }
  throw new Error('the settings were accepted');
}

const paths = (error: AppError): readonly string[] => error.problems.map(({ path }) => path);

/** The environment of a user who has a settings file. */
function withFile(content: string | object): { readonly HOME: string; readonly XDG_CONFIG_HOME: string } {
  const dir = tempDir();
  mkdirSync(join(dir, 'bullpen'));
  const text = typeof content === 'string' ? content : stringify(content);
  writeFileSync(join(dir, 'bullpen', 'config.yaml'), text);
  return { HOME: '/home/u', XDG_CONFIG_HOME: dir };
}

describe('the defaults', () => {
  it('are complete: an empty environment is enough', () => {
    const cwd = tempDir();
    const settings = loadSettings({ HOME: '/home/u' }, cwd);
    expect(settings).toMatchObject({
      home: '/home/u/.local/state/bullpen',
      cacheDir: '/home/u/.cache/bullpen',
      host: '127.0.0.1',
      port: 3000,
      redisUrl: null,
      prefix: 'bullpen',
      requestChannel: 'claude:cli:requests',
      responseChannel: 'claude:cli:responses',
      rawRequests: 'auto',
      concurrency: 5,
      workers: null,
      provider: 'claude',
      model: null,
      cwd,
      roots: [cwd],
      trustedRoots: [],
      passEnv: [],
      allowFullAccess: false,
      timeoutMs: 3_600_000,
      providers: { claude: { binary: null, args: [] }, custom: {} },
    });
    for (const name of Object.keys(SETTINGS)) expect(settings, name).toHaveProperty(name);
  });

  it('are the same each time: nothing one caller does to them reaches the next', () => {
    const cwd = tempDir();
    const first = loadSettings({ HOME: '/home/u' }, cwd);
    const before = structuredClone(first);
    first.trustedRoots.push('/');
    first.providers.claude.args.push('--x');
    expect(loadSettings({ HOME: '/home/u' }, cwd)).toEqual(before);
  });

  it('follow the XDG folders where they are set', () => {
    const env = { HOME: '/home/u', XDG_STATE_HOME: '/state', XDG_CACHE_HOME: '/cache' };
    expect(loadSettings(env, tempDir())).toMatchObject({
      home: '/state/bullpen',
      cacheDir: '/cache/bullpen',
    });
  });

  it('allow a job the working directory, wherever that is set to', () => {
    expect(loadSettings({ BULLPEN_CWD: '/work/a' }, tempDir())).toMatchObject({
      cwd: '/work/a',
      roots: ['/work/a'],
    });
  });
});

describe('the environment', () => {
  it('may use HOST and PORT, unless BULLPEN_HOST and BULLPEN_PORT are set', () => {
    const former = { HOST: '::1', PORT: '4000' };
    const present = { BULLPEN_HOST: '127.0.0.2', BULLPEN_PORT: '5000' };
    const empty = { BULLPEN_HOST: '', BULLPEN_PORT: '' };
    expect(loadSettings(former, tempDir())).toMatchObject({ host: '::1', port: 4000 });
    expect(loadSettings({ ...former, ...empty }, tempDir())).toMatchObject({ host: '::1', port: 4000 });
    expect(loadSettings({ ...former, ...present }, tempDir())).toMatchObject({
      host: '127.0.0.2',
      port: 5000,
    });
    expect(paths(refusal({ PORT: 'x' }, tempDir()))).toEqual(['port (BULLPEN_PORT)']);
  });

  it('sets every kind of setting', () => {
    const env = {
      BULLPEN_HOME: '/data',
      BULLPEN_PORT: '0',
      REDIS_URL: 'rediss://u:p@h:6380/1',
      BULLPEN_LOG_LEVEL: 'debug',
      BULLPEN_WORKERS: '7',
      BULLPEN_ROOTS: '/a, /b ,,/c',
      BULLPEN_MODEL: 'opus',
      BULLPEN_DRAIN_MS: '0',
    };
    expect(loadSettings(env, tempDir())).toMatchObject({
      home: '/data',
      port: 0,
      redisUrl: 'rediss://u:p@h:6380/1',
      logLevel: 'debug',
      workers: 7,
      roots: ['/a', '/b', '/c'],
      model: 'opus',
      drainMs: 0,
    });
  });

  it.each([
    ['true', true],
    ['on', true],
    ['1', true],
    ['false', false],
    ['off', false],
    ['0', false],
  ])('%s is %s', (text, value) => {
    expect(loadSettings({ BULLPEN_ALLOW_FULL_ACCESS: text }, tempDir()).allowFullAccess).toBe(value);
  });

  it.each(['yes', 'TRUE', '2', 'constructor', '__proto__'])('%s is neither yes nor no', (text) => {
    const error = refusal({ BULLPEN_ALLOW_FULL_ACCESS: text }, tempDir());
    expect(paths(error)).toEqual(['allowFullAccess (BULLPEN_ALLOW_FULL_ACCESS)']);
  });

  it.each(['', '0', '-1', '1.5', 'five', '1e2', '0x5', ' 5', '5 ', '1001', 'NaN', 'Infinity'])(
    'a concurrency of %j is %s',
    (text) => {
      if (text === '') expect(loadSettings({ BULLPEN_CONCURRENCY: text }, tempDir()).concurrency).toBe(5);
      else
        expect(paths(refusal({ BULLPEN_CONCURRENCY: text }, tempDir()))).toEqual([
          'concurrency (BULLPEN_CONCURRENCY)',
        ]);
    },
  );

  it('an empty variable is as good as none', () => {
    const env = Object.fromEntries(VARIABLES.map((name) => [name, '']));
    const cwd = tempDir();
    expect(loadSettings({ HOME: '/home/u', BULLPEN_CONFIG: '', ...env }, cwd)).toEqual(
      loadSettings({ HOME: '/home/u' }, cwd),
    );
  });

  it('variables that are none of ours are none of our business; misspelt ones are', () => {
    expect(() => loadSettings({ BULLPENX: '1', ANTHROPIC_API_KEY: SECRET }, tempDir())).not.toThrow();
    const error = refusal({ BULLPEN_CONCURENCY: SECRET, BULLPEN_: '1', BULLPEN_TIMEOUT: '2' }, tempDir());
    expect(paths(error)).toEqual(['BULLPEN_CONCURENCY', 'BULLPEN_', 'BULLPEN_TIMEOUT']);
  });

  it("the clients' own variables may be set beside the server's", () => {
    const env = { BULLPEN_URL: 'http://h', BULLPEN_TOKEN: SECRET, BULLPEN_EXECUTION_ID: 'n/e' };
    expect(() => loadSettings(env, tempDir())).not.toThrow();
  });

  it.each([
    'timeoutMs',
    'idleTimeoutMs',
    'maxTimeoutMs',
    'killGraceMs',
    'lingerMs',
    'drainMs',
    'leaseMs',
    'sweepMs',
    'lockMs',
  ] as const)('%s cannot be longer than a timer can wait', (name) => {
    const env = variableOf(SETTINGS[name]);
    expect(paths(refusal({ [env]: String(2 ** 31) }, tempDir()))).toEqual([`${name} (${env})`]);
  });
});

describe('the configuration file', () => {
  it('sets prices, each complete', () => {
    const prices = { 'house-model': { input: 1, output: 2.5, cacheRead: 0.1 } };
    expect(loadSettings(withFile({ prices }), tempDir())).toMatchObject({ prices });
    const wrong = { 'house-model': { input: -1 }, other: { input: 1, output: 2, inputs: 3 } };
    const error = refusal(withFile({ prices: wrong }), tempDir());
    expect(error.message).toContain('prices.house-model');
    expect(error.message).toContain('prices.other.inputs: is not a setting');
  });

  it('sets what the environment does not, and the providers', () => {
    const env = withFile({
      port: 4000,
      concurrency: 9,
      roots: ['/a'],
      providers: { claude: { binary: '/opt/claude' }, custom: { mine: { binary: 'mine' } } },
    });
    expect(loadSettings({ ...env, BULLPEN_PORT: '5000' }, tempDir())).toMatchObject({
      port: 5000,
      concurrency: 9,
      roots: ['/a'],
      providers: {
        claude: { binary: '/opt/claude', args: [] },
        custom: { mine: { binary: 'mine', args: [] } },
      },
    });
  });

  it('names the commands of terminals, whose arguments and variables may be left out', () => {
    const env = withFile({ terminals: { enabled: true, commands: { bash: { binary: 'bash' } } } });
    expect(loadSettings(env, tempDir()).terminals).toEqual({
      enabled: true,
      commands: { bash: { binary: 'bash', args: [], env: [] } },
    });
    const wrong = withFile({ terminals: { commands: { 'a b': { binary: 'bash' } } } });
    expect(() => loadSettings(wrong, tempDir())).toThrow(/terminals/);
  });

  it('is the one that is named, also relative to where the server was started, else that of this user', () => {
    const env = withFile({ port: 4000 });
    const dir = tempDir();
    writeFileSync(join(dir, 'other.yaml'), 'port: 5000');
    expect(loadSettings(env, dir).port).toBe(4000);
    expect(loadSettings({ ...env, BULLPEN_CONFIG: 'other.yaml' }, dir).port).toBe(5000);
    expect(loadSettings({ ...env, BULLPEN_CONFIG: join(dir, 'other.yaml') }, tempDir()).port).toBe(5000);
    const home = tempDir();
    mkdirSync(join(home, '.config'));
    renameSync(join(env.XDG_CONFIG_HOME, 'bullpen'), join(home, '.config', 'bullpen'));
    for (const relative of ['', 'config']) {
      expect(loadSettings({ HOME: home, XDG_CONFIG_HOME: relative }, dir).port).toBe(4000);
    }
  });

  it('is nothing that lies in the folder where the server is started', () => {
    const dir = tempDir();
    const text = 'port: 4000';
    for (const name of ['bullpen.config.yaml', 'config.yaml', '.env']) writeFileSync(join(dir, name), text);
    mkdirSync(join(dir, 'bullpen'));
    writeFileSync(join(dir, 'bullpen', 'config.yaml'), text);
    expect(loadSettings({ HOME: '/home/u', XDG_CONFIG_HOME: '.' }, dir)).toEqual(
      loadSettings({ HOME: '/home/u' }, dir),
    );
  });

  it('may be empty or not there, unless it was named', () => {
    expect(loadSettings(withFile(''), tempDir()).port).toBe(3000);
    expect(loadSettings(withFile('# nothing\n'), tempDir()).port).toBe(3000);
    expect(refusal({ BULLPEN_CONFIG: 'none.yaml' }, tempDir()).message).toContain('none.yaml');
  });

  it('that cannot be read is a problem of its own', () => {
    expect(refusal({ BULLPEN_CONFIG: tempDir() }, tempDir()).problems).toHaveLength(1);
  });

  it('that every user may write is refused', () => {
    const env = withFile({ port: 4000 });
    const file = join(env.XDG_CONFIG_HOME, 'bullpen', 'config.yaml');
    chmodSync(file, 0o666);
    expect(refusal(env, tempDir()).problems).toEqual([
      { path: file, message: expect.stringContaining('can be written by every user') },
    ]);
    chmodSync(file, 0o664);
    expect(loadSettings(env, tempDir()).port).toBe(4000);
  });

  it.runIf(process.getuid?.() === 0)('that belongs to another user is refused', () => {
    const env = withFile({ port: 4000 });
    chownSync(join(env.XDG_CONFIG_HOME, 'bullpen', 'config.yaml'), 65_534, 65_534);
    expect(refusal(env, tempDir()).message).toContain('belongs to another user');
  });

  it('relative folders in it are below its own folder; in a variable, below where the server was started', () => {
    const env = withFile({ home: 'data', cwd: 'project', roots: ['.', '/a'], trustedRoots: ['b'] });
    const base = join(env.XDG_CONFIG_HOME, 'bullpen');
    const dir = tempDir();
    expect(loadSettings(env, dir)).toMatchObject({
      home: join(base, 'data'),
      cwd: join(base, 'project'),
      roots: [base, '/a'],
      trustedRoots: [join(base, 'b')],
    });
    expect(loadSettings({ ...env, BULLPEN_HOME: 'd', BULLPEN_TRUSTED_ROOTS: '.' }, dir)).toMatchObject({
      home: join(dir, 'd'),
      trustedRoots: [dir],
    });
  });

  it.each(['[1, 2]', '"text"', '5', 'true'])('that holds %s is no mapping of settings', (content) => {
    expect(refusal(withFile(content), tempDir()).message).toContain('must hold a mapping');
  });

  it('refuses a setting it does not know, under any name', () => {
    const error = refusal(
      withFile(`prot: ${SECRET}\ntoString: 1\nconstructor: 1\nproviders:\n  claud: {}\n`),
      tempDir(),
    );
    expect([...paths(error)].sort()).toEqual(['constructor', 'prot', 'providers.claud', 'toString']);
  });

  it('takes no text where a number or a list belongs', () => {
    const error = refusal(withFile({ port: '3000', roots: '/a', workers: 'two' }), tempDir());
    expect(paths(error)).toEqual([
      'port (BULLPEN_PORT)',
      'workers (BULLPEN_WORKERS)',
      'roots (BULLPEN_ROOTS)',
    ]);
  });

  it('says where in a provider something is wrong', () => {
    const custom = { 'Not A Name': { binary: 'x' }, mine: { args: [] } };
    const error = refusal(
      withFile({ providers: { claude: { binary: 5, maxRetries: -1 }, custom } }),
      tempDir(),
    );
    const said = paths(error).join(' ');
    for (const part of ['claude.binary', 'claude.maxRetries', 'custom.mine', 'custom.Not A Name']) {
      expect(said).toContain(`providers.${part}`);
    }
  });
});

describe('what is wrong', () => {
  it('is reported all at once, one problem for each setting', () => {
    const env = {
      ...withFile({ port: 'x', concurrency: 0, nonsense: 1, providers: { claude: { nope: 1 } } }),
      REDIS_URL: 'http://h',
      BULLPEN_PREFIX: 'a b',
      BULLPEN_REQUEST_CHANNEL: 'a b',
      BULLPEN_RESPONSE_CHANNEL: '',
      BULLPEN_LOG_LEVEL: 'loud',
      BULLPEN_RAW_REQUESTS: 'perhaps',
      BULLPEN_WORKERS: '0',
      BULLPEN_MAX_QUEUED: 'x',
      BULLPEN_ALLOW_FULL_ACCESS: 'x',
      BULLPEN_TIMEOUT_MS: '0',
      BULLPEN_LEASE_MS: '1',
      BULLPEN_NOPE: '1',
    };
    const error = refusal(env, tempDir());
    expect(error.code).toBe('config.invalid');
    expect([...paths(error)].sort()).toEqual(
      [
        'BULLPEN_NOPE',
        'nonsense',
        'port (BULLPEN_PORT)',
        'concurrency (BULLPEN_CONCURRENCY)',
        'redisUrl (REDIS_URL)',
        'prefix (BULLPEN_PREFIX)',
        'requestChannel (BULLPEN_REQUEST_CHANNEL)',
        'logLevel (BULLPEN_LOG_LEVEL)',
        'rawRequests (BULLPEN_RAW_REQUESTS)',
        'workers (BULLPEN_WORKERS)',
        'maxQueued (BULLPEN_MAX_QUEUED)',
        'allowFullAccess (BULLPEN_ALLOW_FULL_ACCESS)',
        'timeoutMs (BULLPEN_TIMEOUT_MS)',
        'leaseMs (BULLPEN_LEASE_MS)',
        'providers.claude.nope',
      ].sort(),
    );
    for (const path of paths(error)) expect(error.message).toContain(path);
  });

  it('in the file does not hide what is wrong in the environment', () => {
    const error = refusal({ ...withFile('port: [1\n'), BULLPEN_PORT: 'x' }, tempDir());
    expect(error.problems).toHaveLength(2);
  });
});

describe('a secret', () => {
  const urls = [
    `http://u:${SECRET}@h`,
    `redis//u:${SECRET}@h`,
    `${SECRET}@h`,
    ` redis://u:${SECRET}@h`,
    `REDIS://u:${SECRET}@h`,
  ];
  it.each(urls)('in a wrong REDIS_URL is never printed (%#)', (url) => {
    const error = refusal({ REDIS_URL: url }, tempDir());
    expect(paths(error)).toEqual(['redisUrl (REDIS_URL)']);
    expect(JSON.stringify([error.message, error.problems, error.stack, String(error.cause)])).not.toContain(
      SECRET,
    );
  });

  it.each([
    `redisUrl: "redis://u:${SECRET}@h\nport: 1\n`,
    `redisUrl: redis://u:${SECRET}@h: x\n`,
    `redisUrl: *${SECRET}\n`,
    `redisUrl: !${SECRET} x\n`,
    `redisUrl: 'a' ${SECRET}\n`,
    `redisUrl: "\\q${SECRET}"\n`,
    `redisUrl: redis://u:${SECRET}@h\nredisUrl: redis://u:${SECRET}@h\n`,
    `- ${SECRET}\n: x: y\n\t@`,
    `redisUrl: {${SECRET}\n`,
    `%${SECRET}\n---\nport: x\n`,
    `redisUrl: ["${SECRET}"]\n`,
    `"${SECRET}"\n`,
    `providers:\n  claude:\n    binary: {a: ${SECRET}}\n    args: ["${SECRET}", 5]\n`,
  ])('in a wrong configuration file is never printed (%#)', (content) => {
    const error = refusal(withFile(content), tempDir());
    expect(error.problems.length).toBeGreaterThan(0);
    expect(JSON.stringify([error.message, error.problems, error.stack, String(error.cause)])).not.toContain(
      SECRET,
    );
  });

  it('in a wrong variable of any kind is never printed', () => {
    for (const env of VARIABLES) {
      try {
        loadSettings({ [env]: `${SECRET}\n` }, tempDir());
      } catch (error) {
        expect(String(error), env).not.toContain(SECRET);
      }
    }
  });

  it('refuses a lease so long that a healthy server would be taken for lost', () => {
    const env = { HOME: '/home/x', BULLPEN_LEASE_MS: '6000', BULLPEN_NODE_LOST_AFTER_MS: '2000' };
    expect(() => loadSettings(env, tempDir())).toThrow(/BULLPEN_NODE_LOST_AFTER_MS.*twice leaseMs/);
  });
});
