/** Class names are global: what keeps one screen from changing the look of another. */
import { globSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, it } from 'vitest';

const PAGE = new URL('../../../src/page/', import.meta.url).pathname;

interface Sheet {
  readonly folder: string;
  readonly selectors: readonly string[];
}

const sheets = globSync('**/*.css', { cwd: PAGE }).map((path): Sheet => {
  const text = readFileSync(`${PAGE}${path}`, 'utf8').replace(/\/\*.*?\*\//gs, '');
  const rules = [...text.matchAll(/([^{};]+)\{/g)].map(([, before = '']) => before.trim());
  const selectors = rules
    .filter((rule) => !/^(@|to$|from$|\d+%)/.test(rule))
    .flatMap((rule) => rule.split(/,(?![^(]*\))/))
    .map((selector) => selector.trim())
    // Variables, and elements of the page's own.
    .filter((selector) => !/^:root|^[a-z]+-[a-z]+$/.test(selector));
  return { folder: dirname(path), selectors };
});
const isOfScreen = ({ folder }: Sheet): boolean => folder.startsWith('screens/');
const classesIn = (text: string): readonly string[] =>
  [...text.matchAll(/\.([a-z][\w-]*)/gi)].map(([, name = '']) => name);
/** The class with which a selector begins, and which so may be anywhere in the page. */
const scopeOf = (selector: string): string | undefined => /^[a-z]*\.([\w-]+)/i.exec(selector)?.[1];

it('no two screens define the same class', () => {
  const design = new Set(
    sheets.filter((one) => !isOfScreen(one)).flatMap((one) => one.selectors.map(scopeOf)),
  );
  const owners = new Map<string, Set<string>>();
  for (const { folder, selectors } of sheets.filter(isOfScreen))
    for (const scope of selectors.map(scopeOf))
      if (scope !== undefined && !design.has(scope))
        owners.set(scope, (owners.get(scope) ?? new Set()).add(folder));
  const shared = [...owners].filter(([, folders]) => folders.size > 1);
  expect(shared.map(([name, folders]) => `.${name}: ${[...folders].join(', ')}`)).toEqual([]);
  expect(owners.size).toBeGreaterThan(50);
});

it('each rule of a screen names a class that only this screen has', () => {
  const folders = new Map<string, Set<string>>();
  for (const { folder, selectors } of sheets)
    for (const name of selectors.flatMap(classesIn))
      folders.set(name, (folders.get(name) ?? new Set()).add(folder));
  const global = sheets
    .filter(isOfScreen)
    .flatMap(({ folder, selectors }) =>
      selectors
        .filter((selector) => !classesIn(selector).some((name) => folders.get(name)?.size === 1))
        .map((selector) => `${folder}: ${selector}`),
    );
  expect(global).toEqual([]);
});

it('no screen uses a class that another screen defines', () => {
  const design = new Set(
    sheets.filter((one) => !isOfScreen(one)).flatMap((one) => one.selectors.flatMap(classesIn)),
  );
  const owners = new Map(
    sheets
      .filter(isOfScreen)
      .flatMap(({ folder, selectors }) => selectors.map((one) => [scopeOf(one) ?? '', folder] as const)),
  );
  const borrowed = globSync('**/*.tsx', { cwd: PAGE }).flatMap((path) =>
    [...readFileSync(`${PAGE}${path}`, 'utf8').matchAll(/class="([^"]*)"/g)]
      .flatMap(([, names = '']) => names.split(/\s+/))
      .filter((name) => owners.has(name) && !design.has(name) && owners.get(name) !== dirname(path))
      .map((name) => `${path}: ${name} of ${owners.get(name)}`),
  );
  expect(borrowed).toEqual([]);
});
