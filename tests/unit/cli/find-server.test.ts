import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createServerFinder, type FinderOptions } from '../../../src/cli/find-server.ts';
import { loadSettings } from '../../../src/config/load.ts';
import { plainDataFolder } from '../../../src/config/places.ts';
import { tempDir } from '../../helpers/temp.ts';

const ADDRESS = 'http://127.0.0.1:3000';

/** A finder that looks into `home`, where a living server's note says `address`. */
function finder(home: string, given: Partial<FinderOptions> & { address?: string | null } = {}) {
  const { address = ADDRESS, ...rest } = given;
  return createServerFinder({
    env: {},
    readHome: async () => home,
    readNote: () => ({ pid: 42, address, startedBy: 'serve' }),
    isAlive: ({ pid }) => pid === 42,
    readLogin: () => null,
    ...rest,
  });
}

function withToken(token: string): string {
  const home = tempDir();
  writeFileSync(join(home, 'token'), token);
  return home;
}

describe('the server', () => {
  it('is the one the environment names, and then no data folder is looked at', async () => {
    const env = { BULLPEN_URL: 'https://bullpen.example/base', BULLPEN_TOKEN: 't' };
    const readHome = async (): Promise<string> => {
      throw new Error('looked');
    };
    const found = await finder('', { env, readHome }).find();
    expect(found).toEqual({
      kind: 'found',
      place: { url: env.BULLPEN_URL, token: 't', tokenFrom: 'BULLPEN_TOKEN', of: 'environment' },
    });
    expect(await finder('', { env, readHome }).home()).toBeNull();
  });

  it.each([
    [{ BULLPEN_URL: ADDRESS }, 'log in with `bullpen login http://127.0.0.1:3000`, or set BULLPEN_TOKEN'],
    [{ BULLPEN_URL: 'localhost:3000', BULLPEN_TOKEN: 't' }, 'no http address'],
    [{ BULLPEN_URL: 'nonsense', BULLPEN_TOKEN: 't' }, 'no http address'],
    [{ BULLPEN_URL: 'http://me:secret@127.0.0.1:3000', BULLPEN_TOKEN: 't' }, 'no http address'],
    [{ BULLPEN_URL: ADDRESS, BULLPEN_TOKEN: 'se\ncret' }, 'characters that no token has'],
  ])('named as %j is refused: the local key is sent to no such place', async (env, message) => {
    const home = withToken('local');
    await expect(finder(home, { env }).find()).rejects.toThrow(message);
    await expect(finder(home, { env }).find()).rejects.toMatchObject({
      exitCode: 78,
      message: expect.not.stringContaining('cret'),
    });
  });

  it('named by the environment gets the token of the login for its address, unless there is a variable', async () => {
    const readLogin = (url: string) => (url === ADDRESS ? 'stored' : null);
    const find = (env: Record<string, string>) => finder('', { env, readLogin }).find();
    const place = { url: ADDRESS, token: 'stored', tokenFrom: '`bullpen login`', of: 'environment' };
    expect(await find({ BULLPEN_URL: ADDRESS })).toEqual({ kind: 'found', place });
    const both = { BULLPEN_URL: ADDRESS, BULLPEN_TOKEN: 'mine' };
    expect(await find(both)).toMatchObject({ place: { token: 'mine', tokenFrom: 'BULLPEN_TOKEN' } });
    await expect(find({ BULLPEN_URL: 'http://other' })).rejects.toThrow('there is no token');
  });

  it('is the one whose note lies in the data folder, with the token beside it', async () => {
    const home = withToken('local\n');
    expect(await finder(home).find()).toEqual({
      kind: 'found',
      place: { url: ADDRESS, token: 'local', tokenFrom: join(home, 'token'), of: 'serve' },
    });
    const env = { BULLPEN_TOKEN: 'mine' };
    expect(await finder(home, { env }).find()).toMatchObject({ place: { url: ADDRESS, token: 'mine' } });
  });

  it.each([
    ['http://0.0.0.0:3000', 'http://127.0.0.1:3000'],
    ['http://[::]:3000', 'http://[::1]:3000'],
  ])('that listens at %s is reached at %s', async (address, url) => {
    expect(await finder(withToken('t'), { address }).find()).toMatchObject({ place: { url } });
  });

  it.each([
    ['there is no note', { readNote: () => null }, 'no server is running'],
    ['its process has died', { isAlive: () => false }, 'has died'],
    ['it does not listen yet', { address: null }, 'is starting or stopping'],
  ])('is none when %s', async (_when, given, why) => {
    const found = await finder(withToken('t'), given).find();
    expect(found).toMatchObject({ kind: 'none', why: expect.stringContaining(why) });
  });

  it('whose token cannot be read or is none is an error that names the file', async () => {
    const home = tempDir();
    await expect(finder(home).find()).rejects.toMatchObject({ exitCode: 77 });
    await expect(finder(home).find()).rejects.toThrow(`${join(home, 'token')} cannot be read`);
    await expect(finder(withToken('\n')).find()).rejects.toThrow('holds no token');
  });
});

describe('inside a job', () => {
  const inside = { BULLPEN_EXECUTION_ID: '01NODE/01EXECUTION' };

  it('the server is the one of the job, with the token of the job', async () => {
    const env = { ...inside, BULLPEN_URL: ADDRESS, BULLPEN_JOB_TOKEN: 'bp_job_1' };
    const place = { url: ADDRESS, token: 'bp_job_1', tokenFrom: 'BULLPEN_JOB_TOKEN', of: 'environment' };
    expect(await finder('', { env }).find()).toEqual({ kind: 'found', place });
    const own = { ...env, BULLPEN_TOKEN: 'mine' };
    expect(await finder('', { env: own }).find()).toMatchObject({ place: { token: 'mine' } });
  });

  it.each([[{}], [{ BULLPEN_URL: ADDRESS }]])(
    'the token of the machine is not taken, with %j',
    async (more) => {
      const env = { ...inside, ...more };
      const found = finder(withToken('local'), { env }).find();
      await expect(found).rejects.toMatchObject({ exitCode: 78 });
      await expect(found).rejects.toThrow('BULLPEN_JOB_TOKENS=on');
    },
  );

  it('a data folder that the job names is another server', async () => {
    const home = withToken('local');
    const env = { ...inside, BULLPEN_HOME: home };
    expect(await finder(home, { env }).find()).toMatchObject({ place: { token: 'local' } });
  });
});

describe('the data folder, without loading the settings', () => {
  it.each([
    [{ HOME: '/home/u' }],
    [{ HOME: '/home/u', XDG_STATE_HOME: '/state' }],
    [{ HOME: '/home/u', XDG_STATE_HOME: 'relative' }],
    [{ HOME: '/home/u', XDG_STATE_HOME: '' }],
    [{ HOME: '/home/u', BULLPEN_HOME: '/data' }],
    [{ HOME: '/home/u', BULLPEN_HOME: 'data' }],
    [{ HOME: '/home/u', BULLPEN_HOME: '' }],
    [{}],
  ])('is what they say: %j', (env) => {
    const cwd = tempDir();
    expect(plainDataFolder(env, cwd)).toBe(loadSettings(env, cwd).home);
  });

  it('is not known when a settings file may name it', () => {
    const dir = tempDir();
    expect(plainDataFolder({ BULLPEN_CONFIG: '/etc/bullpen.yaml' }, dir)).toBeNull();
    mkdirSync(join(dir, 'bullpen'));
    writeFileSync(join(dir, 'bullpen', 'config.yaml'), 'home: /elsewhere');
    const env = { HOME: '/home/u', XDG_CONFIG_HOME: dir };
    expect(plainDataFolder(env, dir)).toBeNull();
    // The environment goes before the file.
    expect(plainDataFolder({ ...env, BULLPEN_HOME: '/data' }, dir)).toBe('/data');
    expect(loadSettings({ ...env, BULLPEN_HOME: '/data' }, dir).home).toBe('/data');
  });

  it('is not named by a file in the folder a command is typed in', () => {
    const cwd = tempDir();
    writeFileSync(join(cwd, 'bullpen.config.yaml'), 'home: /elsewhere');
    const env = { HOME: '/home/u' };
    expect(plainDataFolder(env, cwd)).toBe('/home/u/.local/state/bullpen');
    expect(loadSettings(env, cwd).home).toBe('/home/u/.local/state/bullpen');
  });
});
