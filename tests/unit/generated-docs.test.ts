import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { describe, expect, it } from 'vitest';
import { withErrorCodes } from '../../scripts/error-docs.ts';
import { withTransitions } from '../../scripts/session-docs.ts';
import { renderEnvExample, renderSettingsPage } from '../../scripts/settings-docs.ts';
import { loadSettings } from '../../src/config/load.ts';
import { SETTINGS } from '../../src/config/schema.ts';
import { Job, WAIT_REASONS } from '../../src/protocol/job.ts';
import { Outcome } from '../../src/protocol/outcome.ts';
import { promptOptions } from '../../src/protocol/prompt.ts';
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

  it('docs/api.md has the bounds of each field of a request', () => {
    const page = read('docs/api.md');
    const section = page.slice(page.indexOf("## A job's request\n"), page.indexOf('## A job\n'));
    const { maxAttempts } = promptOptions.retry.properties;
    const bounds = ['maximum', 'maxItems', 'maxLength', 'maxProperties'];
    for (const [name, schema] of Object.entries({ ...promptOptions, 'retry.maxAttempts': maxAttempts })) {
      const lines = section.split('\n').filter((line) => line.includes(`\`${name}\``));
      for (const bound of bounds.flatMap((key): number[] => Reflect.get(schema, key) ?? [])) {
        const shown = name.endsWith('Ms') ? `${bound / 86_400_000} day` : bound.toLocaleString('en');
        expect(lines.join('\n'), name).toContain(shown);
      }
    }
  });

  it('docs/api.md has each field of a job and its outcome, and each reason why a job waits', () => {
    const page = read('docs/api.md');
    const [example = ''] = page.slice(page.indexOf('## A job\n')).split('```\n\n', 1);
    for (const { properties } of [Job, Outcome])
      for (const name of Object.keys(properties)) expect(example).toContain(`"${name}":`);
    const why = page.slice(
      page.indexOf('A job that does not run says why:'),
      page.indexOf('## Executions\n'),
    );
    // No job waits for another job yet.
    for (const reason of WAIT_REASONS.filter((one) => one !== 'dependency'))
      expect(why).toContain(`\`${reason}\``);
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
