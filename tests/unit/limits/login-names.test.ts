import { describe, expect, it } from 'vitest';
import { credentialName, type LoginUse } from '../../../src/limits/login-names.ts';

const HOST = { key: 'secret', nodeId: 'n1' };
const use = (rest: Partial<LoginUse> = {}): LoginUse => ({
  provider: 'claude',
  login: {
    variables: ['KEY', 'TOKEN'],
    files: [{ variable: 'CONFIG', home: '.claude', name: '.credentials.json' }],
  },
  env: { HOME: '/home/ada' },
  configured: null,
  ...rest,
});
const nameOf = (env: Record<string, string>, host = HOST): string =>
  credentialName(use({ env: { HOME: '/home/ada', ...env } }), host);

describe('the name of a credential', () => {
  it('is the one in the settings, whatever the login is', () => {
    expect(credentialName(use({ configured: 'work' }), HOST)).toBe('claude:work');
    expect(credentialName(use({ configured: 'work', env: { KEY: 'k' } }), HOST)).toBe('claude:work');
  });

  it('is else that of its key, on every node, and does not reveal it', () => {
    const name = nameOf({ KEY: 'sk-very-secret' });
    expect(name).toMatch(/^claude:key-[0-9a-f]{12}$/);
    expect(nameOf({ KEY: 'sk-very-secret', UNRELATED: 'x' }, { ...HOST, nodeId: 'n2' })).toBe(name);
    expect(nameOf({ KEY: 'another' })).not.toBe(name);
    expect(nameOf({ TOKEN: 'sk-very-secret' })).not.toBe(name);
    expect(nameOf({ KEY: 'sk-very-secret' }, { ...HOST, key: 'other' })).not.toBe(name);
    expect(credentialName(use({ provider: 'codex', env: { KEY: 'sk-very-secret' } }), HOST)).not.toContain(
      name.slice('claude:'.length),
    );
  });

  it('is else that of its node and the folder with the login', () => {
    const name = nameOf({ KEY: '' });
    expect(name).toMatch(/^claude:login-[0-9a-f]{12}$/);
    expect(nameOf({ CONFIG: '/home/ada/.claude' })).toBe(name);
    expect(nameOf({ CONFIG: '/elsewhere' })).not.toBe(name);
    expect(nameOf({}, { ...HOST, nodeId: 'n2' })).not.toBe(name);
  });
});
