import { homedir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../../src/config/load.ts';

describe('where things lie when no setting says so', () => {
  const places = (env: Record<string, string>) => {
    const { home, cacheDir } = loadSettings(env, '/work');
    return { home, cacheDir };
  };
  const inHome = (home: string) => ({
    home: `${home}/.local/state/bullpen`,
    cacheDir: `${home}/.cache/bullpen`,
  });

  it('is the XDG folders, below the home folder unless they are set', () => {
    expect(places({ HOME: '/home/someone' })).toEqual(inHome('/home/someone'));
    expect(places({ HOME: '/home/someone', XDG_STATE_HOME: '/state', XDG_CACHE_HOME: '/cache' })).toEqual({
      home: '/state/bullpen',
      cacheDir: '/cache/bullpen',
    });
  });

  it('is never the folder the server was started in because a variable is empty or relative', () => {
    expect(places({ HOME: '/home/someone', XDG_STATE_HOME: '', XDG_CACHE_HOME: '' })).toEqual(
      inHome('/home/someone'),
    );
    expect(places({ HOME: '/home/someone', XDG_STATE_HOME: 'state', XDG_CACHE_HOME: 'cache' })).toEqual(
      inHome('/home/someone'),
    );
    expect(places({ HOME: '' })).toEqual(inHome(homedir()));
  });

  it('takes an empty BULLPEN_CONFIG for none', () => {
    expect(loadSettings({ HOME: '/home/someone', BULLPEN_CONFIG: '' }, '/work').port).toBe(3000);
  });
});
