/** Parses what follows a command's name, checked against the options of the command. */
import { parseArgs } from 'node:util';
import { usageError } from './failures.ts';

export interface OptionSpec {
  readonly type: 'boolean' | 'string';
  readonly short?: string;
  /** May be repeated. */
  readonly multiple?: boolean;
  /** Word for the value in the help: `FILE`. */
  readonly value?: string;
  readonly help: string;
}
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** The parsed arguments. Each method throws CommandError for a value of the wrong kind. */
export interface Arguments {
  readonly positionals: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  /** Every value of a repeatable option. */
  texts(name: string): readonly string[];
  /** Every value of a repeatable option, including values joined by commas. */
  list(name: string): readonly string[];
  integer(name: string): number | undefined;
  number(name: string): number | undefined;
  /** `90s`, `15m` in milliseconds. */
  durationMs(name: string): number | undefined;
}

/**
 * @throws CommandError whose message suggests the known option that is nearest to an unknown one
 */
export function parseArguments(args: readonly string[], specs: OptionSpecs): Arguments {
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, { type, short, multiple = false }]) => [
      name,
      { type, multiple, ...(short === undefined ? {} : { short }) },
    ]),
  );
  const joined = joinNegative(args, specs);
  refuseUnknown(joined, specs, options);
  const { values, positionals } = parse(joined, options);
  return argumentsOf(values, positionals);
}

/**
 * Turns `--priority -5` into `--priority=-5`: no option begins with a digit, so `-5` is a value.
 */
function joinNegative(args: readonly string[], specs: OptionSpecs): readonly string[] {
  const takesValue = (arg: string): boolean =>
    Object.entries(specs).some(
      ([name, { type, short }]) => type === 'string' && (arg === `--${name}` || arg === `-${short ?? ''}`),
    );
  const joined: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    const next = args[at + 1] ?? '';
    if (arg === '--') return [...joined, ...args.slice(at)];
    if (takesValue(arg) && /^-\d/.test(next)) {
      joined.push(arg.startsWith('--') ? `${arg}=${next}` : arg + next);
      at += 1;
    } else joined.push(arg);
  }
  return joined;
}

type ParserOptions = Record<string, { type: 'boolean' | 'string'; multiple: boolean; short?: string }>;
type Values = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;

function parse(args: readonly string[], options: ParserOptions): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    // Node's first sentence names the option; the second is about Node's API.
    const message = error instanceof Error ? error.message : String(error);
    throw usageError(message.replace(/^Option '(.*?)'/, '$1').replace(/\.\s.*$/s, ''));
  }
}

function refuseUnknown(args: readonly string[], specs: OptionSpecs, options: ParserOptions): void {
  const { tokens } = parseArgs({
    args: [...args],
    options,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option' || Object.hasOwn(specs, token.name)) continue;
    const meant = token.rawName.startsWith('--') ? nearest(token.name, Object.keys(specs)) : null;
    const hint = meant === null ? '' : `; did you mean --${meant}?`;
    throw usageError(`there is no option ${token.rawName}${hint}`);
  }
}

/** A comma outside the brackets of a rule: `Bash(git log --format=%H,%s)` has none. */
const SEPARATOR = /,(?![^(]*\))/;

function argumentsOf(values: Values, positionals: readonly string[]): Arguments {
  const texts = (name: string): readonly string[] =>
    [values[name] ?? []].flat().filter((value) => typeof value === 'string');
  const text = (name: string): string | undefined => texts(name).at(-1);
  const numeric = (name: string, pattern: RegExp, kind: string): number | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    if (pattern.test(value)) return Number(value);
    throw usageError(`--${name} takes ${kind}, not ${JSON.stringify(value)}`);
  };
  return {
    positionals,
    flag: (name) => values[name] === true,
    text,
    texts,
    list: (name) =>
      texts(name)
        .flatMap((value) => value.split(SEPARATOR))
        .map((value) => value.trim())
        .filter((value) => value !== ''),
    integer: (name) => numeric(name, /^-?\d{1,15}$/, 'a whole number'),
    number: (name) => numeric(name, /^-?\d{1,15}(\.\d{1,30})?(e[+-]?\d{1,3})?$/, 'a number'),
    durationMs(name) {
      const value = text(name);
      if (value === undefined) return undefined;
      const ms = parseDuration(value);
      if (ms !== null) return ms;
      throw usageError(`--${name} takes a time like 90s, 15m or 1h, not ${JSON.stringify(value)}`);
    },
  };
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** 100 years: a date can hold the sum of now and this. */
const MAX_DURATION_MS = 36_525 * 86_400_000;

/** Milliseconds of `90s`, `15m`, `1.5h`, `7d`, `500ms`; null for other texts. */
export function parseDuration(text: string): number | null {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim()) ?? [];
  const factor = UNIT_MS[unit];
  if (amount === undefined || factor === undefined) return null;
  const ms = Math.round(Number(amount) * factor);
  return ms <= MAX_DURATION_MS ? ms : null;
}

/**
 * A moment as RFC 3339, given as a date (midnight UTC), a full time, or a time before `now` (`7d`).
 * @throws CommandError that names the option
 */
export function parseMoment(option: string, text: string, now: Date): string {
  const ago = parseDuration(text);
  if (ago !== null) return new Date(now.getTime() - ago).toISOString();
  const isTime = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const time = isTime ? new Date(text) : null;
  // JavaScript turns the 31st of a short month into a day of the next month.
  const exists = time !== null && !Number.isNaN(time.getTime()) && isRealDay(text.slice(0, 10));
  if (exists) return time.toISOString();
  const kinds = 'a date (2026-11-01), a time (2026-11-01T12:00:00Z) or how long ago (7d)';
  throw usageError(`${option} takes ${kinds}, not ${JSON.stringify(text)}`);
}

/**
 * When a job may start, as RFC 3339: `now`, `22:00` (the next time that a clock here shows it), a
 * date or a time. @throws CommandError
 */
export function parseStart(option: string, text: string, now: Date): string {
  if (text === 'now') return now.toISOString();
  const [, hours, minutes] = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  if (hours === undefined || minutes === undefined) {
    if (parseDuration(text) === null) return parseMoment(option, text, now);
    throw usageError(`${option} takes a time (22:00, 2026-11-01T22:00:00Z), not ${JSON.stringify(text)}`);
  }
  const start = new Date(now);
  start.setHours(Number(hours), Number(minutes), 0, 0);
  if (start <= now) start.setDate(start.getDate() + 1);
  return start.toISOString();
}

const isRealDay = (day: string): boolean => new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);

/** The known word that a mistyped word is nearest to; null when none is near. */
export function nearest(word: string, known: readonly string[]): string | null {
  const [best] = known
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  if (best === undefined || word === '') return null;
  const begins = best.candidate.startsWith(word) || word.startsWith(best.candidate);
  return begins || best.distance <= Math.max(1, Math.floor(word.length / 3)) ? best.candidate : null;
}

/**
 * The number of letters to add, drop, change or swap with a neighbour (Damerau and Levenshtein).
 */
function editDistance(from: string, to: string): number {
  let before: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const same = from[i - 1] === to[j - 1];
      const changed = (row[j - 1] ?? 0) + (same ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
          ? (before[j - 2] ?? 0) + 1
          : changed;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, changed, swapped));
    }
    before = row;
    row = next;
  }
  return row[to.length] ?? 0;
}
