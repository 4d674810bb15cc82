/** Text with the colours of a terminal as parts, each with the classes and colours it has. */
import Anser from 'anser';
import { colouredText } from './hostile.ts';

export interface AnsiPart {
  readonly text: string;
  readonly classes: string;
  /** Colours that no class has. */
  readonly style: { readonly color?: string; readonly background?: string } | null;
}

type Rgb = readonly [red: number, green: number, blue: number];

/** What outputs are on, `--code` in styles/design.css, by theme. */
export const PAPERS = { light: [0xf4, 0xf2, 0xf0], dark: [0x21, 0x1f, 0x1d] } as const;
const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];
/** Slightly more than 4.5, because colours are rounded. */
const ENOUGH = 4.55;

/** The colours of a program, changed as little as reading them needs in both themes. */
export function ansiParts(text: string): readonly AnsiPart[] {
  const clean = colouredText(text);
  if (!clean.includes('\x1b')) return [{ text: clean, classes: '', style: null }];
  const found = Anser.ansiToJson(withSemicolons(clean), {
    json: true,
    use_classes: true,
    remove_empty: true,
  });
  return found.map(({ content, fg, bg, fg_truecolor, bg_truecolor, decorations }) => {
    const looks = decorations.map((one) => `ansi-${one}`);
    const [ink, paper] = [rgbOf(fg, fg_truecolor), rgbOf(bg, bg_truecolor)];
    const shown = content.replaceAll('\x1b', '');
    if (paper !== null) {
      const wanted = ink ?? BASIC[fg ?? ''] ?? farthest(paper);
      const style = { color: css(readable(wanted, paper)), background: css(paper) };
      return { text: shown, classes: looks.join(' '), style };
    }
    // A background of the theme brings the colour of its text.
    if (bg)
      return {
        text: shown,
        classes: ['ansi-on', bg.replace('ansi-', 'ansi-on-'), ...looks].join(' '),
        style: null,
      };
    if (ink === null) return { text: shown, classes: [fg, ...looks].filter(Boolean).join(' '), style: null };
    const [light, dark] = [readable(ink, PAPERS.light), readable(ink, PAPERS.dark)];
    const color = `light-dark(${css(light)}, ${css(dark)})`;
    return { text: shown, classes: looks.join(' '), style: { color } };
  });
}

const NAMES = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
/** The sixteen colours that a theme has as its own, on a background that is not of the theme. */
const BASIC: Readonly<Record<string, Rgb>> = Object.fromEntries(
  NAMES.flatMap((name, at) => {
    const of = (level: number): Rgb => [(at & 1) * level, ((at >> 1) & 1) * level, ((at >> 2) & 1) * level];
    const grey: Rgb = [85, 85, 85];
    return [
      [`ansi-${name}`, of(187)],
      [`ansi-bright-${name}`, at === 0 ? grey : of(255)],
    ];
  }),
);

/** Null: a colour of the theme, or none. */
function rgbOf(name: string | null, truecolor: string | null): Rgb | null {
  if (name === 'ansi-truecolor') {
    const [red = 0, green = 0, blue = 0] = (truecolor ?? '').split(',').map(Number);
    return [red, green, blue];
  }
  const index = Number(/^ansi-palette-(\d+)$/.exec(name ?? '')?.[1] ?? -1);
  if (index < 16) return null;
  if (index >= 232) {
    const grey = 8 + 10 * (index - 232);
    return [grey, grey, grey];
  }
  const level = (step: number): number => (step === 0 ? 0 : 55 + 40 * step);
  const at = index - 16;
  return [level(Math.floor(at / 36)), level(Math.floor(at / 6) % 6), level(at % 6)];
}

/** `38:2::1:2:3`, of some programs, is `38;2;1;2;3`. Colours of underlines are left out. */
const withSemicolons = (text: string): string =>
  text.replace(/\x1b\[([\d;:]*)m/g, (all, codes: string) => {
    if (!/:|\b58\b/.test(codes)) return all;
    const left = codes.replace(UNDERLINE_COLOUR, '');
    return left === '' ? '' : `\x1b[${left.split(';').flatMap(plainCode).join(';')}m`;
  });
const UNDERLINE_COLOUR = /(?:^|;)58[;:](?:5[;:]\d*|2[;:]+\d*[;:]\d*[;:]\d*)/g;

function plainCode(code: string): readonly string[] {
  const [first = '', mode, ...rest] = code.split(':');
  if (mode === undefined) return [code];
  if (first === '4') return [mode === '0' ? '24' : '4'];
  if (first !== '38' && first !== '48') return [];
  return [first, mode, ...(mode === '2' ? rest.slice(-3) : rest.slice(0, 1))];
}

const css = (rgb: Rgb): string => `rgb(${rgb.join(' ')})`;

/** Relative luminance of WCAG 2.2. */
function luminance([red, green, blue]: Rgb): number {
  const linear = (value: number): number => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

/** Contrast of WCAG 2.2, from 1 to 21. */
export function contrast(a: Rgb, b: Rgb): number {
  const [one, other] = [luminance(a) + 0.05, luminance(b) + 0.05];
  return Math.max(one, other) / Math.min(one, other);
}

const farthest = (paper: Rgb): Rgb => (contrast(BLACK, paper) > contrast(WHITE, paper) ? BLACK : WHITE);

const STEPS = 20;

/** The colour, or the first on its way to black or white that can be read on `paper`. */
function readable(ink: Rgb, paper: Rgb): Rgb {
  const end = farthest(paper);
  const mix = (a: number, b: number, step: number): number => Math.round(a + ((b - a) * step) / STEPS);
  for (let step = 0; step < STEPS; step += 1) {
    const mixed: Rgb = [mix(ink[0], end[0], step), mix(ink[1], end[1], step), mix(ink[2], end[2], step)];
    if (contrast(mixed, paper) >= ENOUGH) return mixed;
  }
  return end;
}

const COLOUR = /\x1b\[[\d;:]*[ -~]?/y;
const MAX_COLOUR = 64;

/** `at`, or where the sequence of a colour ends in which that is. */
export function cutOf(text: string, at: number): number {
  const begin = text.lastIndexOf('\x1b', at - 1);
  if (begin === -1 || at - begin > MAX_COLOUR) return at;
  COLOUR.lastIndex = begin;
  return Math.max(at, begin + (COLOUR.exec(text)?.[0].length ?? 0));
}
