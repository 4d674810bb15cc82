import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type AnsiPart, ansiParts, contrast, cutOf, PAPERS } from '../../../src/page/transcript/ansi.ts';

type Rgb = readonly [number, number, number];
const rgbsOf = (text: string): readonly Rgb[] =>
  [...text.matchAll(/rgb\((\d+) (\d+) (\d+)\)/g)].map(([, r, g, b]) => [Number(r), Number(g), Number(b)]);
const coloured = (codes: string): AnsiPart =>
  ansiParts(`\x1b[${codes}mtext`).find(({ text }) => text === 'text') ?? expect.unreachable();
/** The contrast of a part in the theme where it has less. */
function least({ style }: AnsiPart): number {
  const [light, dark] = rgbsOf(style?.color ?? '');
  const [paper] = rgbsOf(style?.background ?? '');
  if (light === undefined) return expect.unreachable();
  if (paper !== undefined) return contrast(light, paper);
  return Math.min(contrast(light, PAPERS.light), contrast(dark ?? light, PAPERS.dark));
}

it('every colour of 256 and many of 16 million can be read in both themes', () => {
  const trues = [0, 51, 102, 153, 204, 255].flatMap((r) =>
    [0, 128, 255].flatMap((g) => [0, 128, 255].map((b) => `2;${r};${g};${b}`)),
  );
  const palette = Array.from({ length: 240 }, (_, index) => `5;${index + 16}`);
  for (const one of [...palette, ...trues]) {
    expect(least(coloured(`38;${one}`)), one).toBeGreaterThanOrEqual(4.5);
    expect(least(coloured(`48;${one}`)), `on ${one}`).toBeGreaterThanOrEqual(4.5);
    expect(least(coloured(`38;5;208;48;${one}`)), `208 on ${one}`).toBeGreaterThanOrEqual(4.5);
    expect(least(coloured(`31;48;${one}`)), `red on ${one}`).toBeGreaterThanOrEqual(4.5);
    expect(least(coloured(`7;38;${one}`)), `reversed ${one}`).toBeGreaterThanOrEqual(4.5);
  }
});

it('a colour that can be read is left as it is', () => {
  expect(rgbsOf(coloured('38;2;0;0;90').style?.color ?? '')[0]).toEqual([0, 0, 90]);
  expect(rgbsOf(coloured('38;2;250;200;10').style?.color ?? '')[1]).toEqual([250, 200, 10]);
});

it('the sixteen colours are those of the theme', () => {
  expect(coloured('1;31')).toEqual({ text: 'text', classes: 'ansi-red ansi-bold', style: null });
  expect(coloured('38;5;9').classes).toBe('ansi-bright-red');
  expect(coloured('41').classes).toBe('ansi-on ansi-on-red');
  expect(coloured('7').classes).toBe('ansi-on ansi-on-white');
});

it('the forms with colons are read, too, and colours of underlines are left out', () => {
  expect(coloured('38:2::250:200:10')).toEqual(coloured('38;2;250;200;10'));
  expect(coloured('38:2:250:200:10')).toEqual(coloured('38;2;250;200;10'));
  expect(coloured('1;38:5:208')).toEqual(coloured('1;38;5;208'));
  expect(coloured('4:3').classes).toBe('ansi-underline');
  expect(coloured('31;58;5;2;1').classes).toBe('ansi-red ansi-bold');
  expect(ansiParts('\x1b[58:2::1:2:3mtext').map(({ text }) => text)).toEqual(['text']);
});

it('a text is not cut within the sequence of a colour', () => {
  const text = `ab\x1b[38;5;232mcd`;
  const places = Array.from({ length: text.length + 1 }, (_, at) => cutOf(text, at));
  expect(new Set(places)).toEqual(new Set([0, 1, 2, 13, 14, 15]));
  expect(cutOf(`\x1b[${'1'.repeat(500)}`, 400)).toBe(400);
});

it('a broken sequence does nothing', () => {
  for (const codes of ['38;2;999;0;0', '38;5;999', '38;5', '38', '38:', ':::', '48;2;1', '1'.repeat(400)])
    expect(
      ansiParts(`a\x1b[${codes}mb`)
        .map(({ text }) => text)
        .join(''),
    ).toBe('ab');
});

it('outputs are on the papers that the colours are made for', () => {
  const css = readFileSync(new URL('../../../src/page/styles/design.css', import.meta.url), 'utf8');
  const hex = (rgb: readonly number[]): string => `#${rgb.map((one) => one.toString(16)).join('')}`;
  expect([...css.matchAll(/--code: (#\w+);/g)].map(([, one]) => one)).toEqual(
    [PAPERS.light, PAPERS.dark, PAPERS.dark].map(hex),
  );
});
