import { describe, expect, it } from 'vitest';
import { CLAUDE_ENV_NAMES } from '../../../src/providers/claude/provider.ts';
import { buildEnvironment, isDeniedName } from '../../../src/providers/environment.ts';

const DENIED = [
  'LD_PRELOAD',
  'ld_preload',
  'LD_LIBRARY_PATH',
  'DYLD_INSERT_LIBRARIES',
  'NODE_OPTIONS',
  'Node_Options',
  'BASH_ENV',
  'ENV',
  'BASH_FUNC_ls%%',
  'BULLPEN_TOKEN',
  'bullpen_home',
  'REDIS_URL',
  'REDISCLI_AUTH',
  'JWT_SECRET',
  'HMAC_SECRET',
  'CLAUDE_SERVICE_SECRET',
  'CLAUDE_SERVICE_SECRET_FILE',
];
const everythingDenied = Object.fromEntries(DENIED.map((name) => [name, 'secret']));

describe('the environment of a CLI', () => {
  it('holds the base names and nothing else', () => {
    const base = { PATH: '/bin', HOME: '/h', LANG: 'C', LC_ALL: 'C', TZ: 'UTC', XDG_CONFIG_HOME: '/c' };
    const source = {
      ...base,
      SECRET: 's',
      ANTHROPIC_API_KEY: 'k',
      OPENAI_API_KEY: 'k',
      Path: '/evil',
      USER: undefined,
    };
    expect(buildEnvironment({ source, names: [], set: {} })).toEqual(base);
  });

  it("adds a provider's own names, but not another's key", () => {
    const source = { ANTHROPIC_API_KEY: 'a', OPENAI_API_KEY: 'o', https_proxy: 'p', HTTPS_PROXY: 'P' };
    expect(buildEnvironment({ source, names: CLAUDE_ENV_NAMES, set: {} })).toEqual({
      ANTHROPIC_API_KEY: 'a',
      https_proxy: 'p',
      HTTPS_PROXY: 'P',
    });
  });

  it('takes names as they are, without wildcards', () => {
    expect(
      buildEnvironment({ source: { A_B: '1', OTHER: '2' }, names: ['*', 'A_*', 'OTHER'], set: {} }),
    ).toEqual({
      OTHER: '2',
    });
  });

  it.each(DENIED)('never lets %s through', (name) => {
    expect(isDeniedName(name)).toBe(true);
    expect(buildEnvironment({ source: everythingDenied, names: DENIED, set: {} })).toEqual({});
  });

  it('no name of claude is a denied one', () => {
    expect(CLAUDE_ENV_NAMES.filter(isDeniedName)).toEqual([]);
  });

  it('ends with what the server sets itself', () => {
    const set = { BULLPEN_EXECUTION_ID: 'n/e', PATH: '/own' };
    expect(buildEnvironment({ source: { PATH: '/bin' }, names: [], set })).toEqual(set);
  });

  it('takes names from the source alone', () => {
    const source = Object.create({ PATH: '/inherited' });
    expect(buildEnvironment({ source, names: [], set: {} })).toEqual({});
  });
});
