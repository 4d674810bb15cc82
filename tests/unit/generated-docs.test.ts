import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { describe, expect, it } from 'vitest';
import { withErrorCodes } from '../../scripts/error-docs.ts';
import { withTransitions } from '../../scripts/session-docs.ts';
import { renderEnvExample, renderSettingsPage } from '../../scripts/settings-docs.ts';
import { loadSettings } from '../../src/config/load.ts';
import { SETTINGS } from '../../src/config/schema.ts';
import { SESSION_STATUSES, SESSION_TRIGGERS } from '../../src/protocol/session-states.ts';

const read = (path: string): string =>
  readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');
const HOW = 'run npm run generate';

describe('what is generated from the tables in the code', () => {
  it('.env.example is what the generator writes now', () => {
    expect(read('.env.example'), HOW).toBe(renderEnvExample());
  });

  it('docs/settings.md is what the generator writes now', () => {
    expect(read('docs/settings.md'), HOW).toBe(renderSettingsPage());
  });

  it('the values a number may have are a range a person can use', () => {
    const page = renderSettingsPage();
    const ranges = [...page.matchAll(/\| ([\d ]+) to ([\d ]+)/g)].map(([, low = '', high = '']) =>
      [low, high].map((bound) => Number(bound.replaceAll(' ', ''))),
    );
    expect(ranges.length).toBeGreaterThan(20);
    for (const [low = 0, high = 0] of ranges) expect(low).toBeLessThan(high);
    expect(page).toContain('| 1 or more bytes | The maximum resident memory');
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('docs/api.md has the table of error codes as the code has it', () => {
    expect(withErrorCodes(read('docs/api.md')), HOW).toBe(read('docs/api.md'));
  });

  it('docs/sessions.md has the transitions of sessions as the code has them', () => {
    expect(withTransitions(read('docs/sessions.md')), HOW).toBe(read('docs/sessions.md'));
  });

  it('docs/sessions.md says what each status and each trigger means', () => {
    const page = read('docs/sessions.md');
    for (const word of [...SESSION_STATUSES, ...SESSION_TRIGGERS])
      expect(page).toMatch(new RegExp(`^\\| .*\`${word}\`.* \\| [A-Za-z]`, 'm'));
  });

  it('.env.example names every setting, and taking every # off changes nothing', () => {
    const text = renderEnvExample().replaceAll(/^#(?=[A-Z_]+=)/gm, '');
    const set = parseEnv(text);
    const names = Object.values(SETTINGS).map((setting) => (setting as { env?: string }).env); // a keyword TypeBox keeps and does not type
    expect(Object.keys(set)).toEqual(expect.arrayContaining(names));
    const place = { HOME: '/home/someone' };
    expect(loadSettings({ ...place, ...set }, '/work')).toEqual(loadSettings(place, '/work'));
  });
});
