import { expect, test } from 'vitest';
import { keyRequestOf } from '../../../src/page/screens/system/key-request.ts';

const NOW = Date.parse('2026-11-21T12:00:00Z');

/** The form of a new key as the browser sends it. */
function form(fields: readonly (readonly [string, string])[]): FormData {
  const data = new FormData();
  for (const [name, value] of fields) data.append(name, value);
  return data;
}

test('empty fields limit nothing', () => {
  const fields = ['project', 'expires', 'roots', 'tools', 'maxRunning', 'usdPerDay'].map(
    (name) => [name, ' '] as const,
  );
  expect(keyRequestOf(form([['name', ' ci '], ['scopes', 'jobs:read'], ...fields]), NOW)).toEqual({
    name: 'ci',
    scopes: ['jobs:read'],
  });
});

test('what is given is asked for, with its kind', () => {
  const given = form([
    ['name', 'ci'],
    ['project', 'web'],
    ['scopes', 'jobs:write'],
    ['scopes', 'usage:read'],
    ['expires', '30'],
    ['providers', 'claude'],
    ['permissionModes', 'plan'],
    ['roots', '/srv/web\r\n\n /srv/api '],
    ['tools', 'Bash(git *)'],
    ['maxRunning', '2'],
    ['usdPerDay', '0.5'],
  ]);
  expect(keyRequestOf(given, NOW)).toEqual({
    ...{ name: 'ci', project: 'web', scopes: ['jobs:write', 'usage:read'] },
    expiresAt: '2026-12-21T12:00:00.000Z',
    ...{ providers: ['claude'], permissionModes: ['plan'], roots: ['/srv/web', '/srv/api'] },
    ...{ tools: ['Bash(git *)'], maxRunning: 2, usdPerDay: 0.5 },
  });
});

test('a key that may do nothing is not asked for', () => {
  expect(() => keyRequestOf(form([['name', 'ci']]), NOW)).toThrow('Check what the key may do');
});
