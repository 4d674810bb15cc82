/** What was typed behind a command's name, checked against the options it has. */
import { parseArgs } from 'node:util';
import { usageError } from './command-error.ts';
import { parseDuration } from './duration.ts';
import { nearest } from './nearest.ts';

export interface OptionSpec {
  readonly type: 'boolean' | 'string';
  readonly short?: string;
  /** May be given again and again. */
  readonly multiple?: boolean;
  /** Word for the value in the help: `FILE`. */
  readonly value?: string;
  readonly help: string;
}
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** The options as they were given. Each method throws CommandError for a value that is not of its kind. */
export interface Arguments {
  readonly positionals: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  /** Every value of a repeatable option. */
  texts(name: string): readonly string[];
  /** Every value, also those joined by commas. */
  list(name: string): readonly string[];
  integer(name: string): number | undefined;
  number(name: string): number | undefined;
  /** `90s`, `15m` as milliseconds. */
  durationMs(name: string): number | undefined;
}

/** @throws CommandError in words, naming the option that was probably meant */
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
  return read(values, positionals);
}

/** `--priority -5` as `--priority=-5`: no option begins with a digit, so it cannot be meant as one. */
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
    // Node's own sentences name the option; their second one talks about its API.
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

/** A comma, but none in the brackets of a rule: `Bash(git log --format=%H,%s)`. */
const BETWEEN = /,(?![^(]*\))/;

function read(values: Values, positionals: readonly string[]): Arguments {
  const texts = (name: string): readonly string[] =>
    [values[name] ?? []].flat().filter((value) => typeof value === 'string');
  const text = (name: string): string | undefined => texts(name).at(-1);
  const numeric = (name: string, pattern: RegExp, what: string): number | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    if (pattern.test(value)) return Number(value);
    throw usageError(`--${name} takes ${what}, not ${JSON.stringify(value)}`);
  };
  return {
    positionals,
    flag: (name) => values[name] === true,
    text,
    texts,
    list: (name) =>
      texts(name)
        .flatMap((value) => value.split(BETWEEN))
        .map((value) => value.trim())
        .filter((value) => value !== ''),
    integer: (name) => numeric(name, /^-?\d{1,15}$/, 'a whole number'),
    number: (name) => numeric(name, /^-?\d{1,15}(\.\d{1,15})?$/, 'a number'),
    durationMs(name) {
      const value = text(name);
      return value === undefined ? undefined : parseDuration(`--${name}`, value);
    },
  };
}
