/** Values for requests: what a schema asks for, and what no caller should send. */
import type { OutgoingHttpHeaders } from 'node:http';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minItems?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

export interface Generator {
  chance(share: number): boolean;
  one<T>(values: readonly T[]): T | undefined;
  headers(): OutgoingHttpHeaders;
  headerValue(): string;
  /** A value for the parameter in this path, encoded. */
  pathPart(path: string): string;
  queryValue(name: string, schema: Schema): string;
  strayQuery(): string;
  body(type: string, schema: Schema): Buffer;
  /** Remembers the ids and cursors in the answer of this path. */
  learn(path: string, text: string): void;
}

const LONG = 'x'.repeat(3000);
const NASTY_TEXTS = [
  ...['', ' ', '\0', 'a\0b', '\n', '\r\nx: y', '\ud800', '\u202e\u200b', '💥', 'null', '__proto__'],
  ...['constructor', '../../etc/passwd', '/', '.', '~', '*', '%', '%00', '-', '--help', '$(id)', '`id`'],
  ...["' OR 1=1 --", '"', '\\', '{}', '[', '0', '-1', '1e999', 'NaN', 'true', LONG, '{"a":1}'],
  ...['2026-02-30T00:00:00Z', '0000-01-01T00:00:00Z', '+275760-09-13T00:00:00.001Z', '9999-12-31T23:59:60Z'],
  ...['00000000000000000000000000', '7ZZZZZZZZZZZZZZZZZZZZZZZZZ', 'MQ', 'eyJ9', 'W10', 'bnVsbA', '1-1'],
  ...['18446744073709551616-0', '0-0', '-', '+', '$', 'job:', ':', 'a,b', 'a&b=c', '%"\'<>'],
];
const NASTY_NUMBERS = [0, -0, -1, 1.5, 1e-9, 1e308, 2 ** 31, 2 ** 53, 2 ** 63, -(2 ** 53), 8.64e15 + 1];
const NASTY: readonly unknown[] = [
  ...[null, true, false, [], {}, [[]], [null], { a: 1 }, { toString: 1 }, { length: -1 }],
  ...NASTY_NUMBERS,
  ...NASTY_TEXTS,
];
/** Texts that patterns of the document allow. */
const FITTING = ['echo', 'claude', 'x1', 'Read', 'Bash(ls *)', 'web', 'claude-x', 'default', '2026-11-21'];
const RAW_BODIES = [
  ...['', ' ', '{', '[]', 'null', '0', '"x"', '{"prompt":1e999}', '{"prompt":"a","prompt":"b"}', '\ufeff{}'],
  ...['{"__proto__":{}}', '{"constructor":{"prototype":{}}}', '{"prompt":"\\ud800"}', '{"a":01}', "{'a':1}"],
  ...['['.repeat(5000), `{"a":${'['.repeat(70)}${']'.repeat(70)}}`, `[${'0,'.repeat(20_000)}0]`],
];
const TYPES = [
  ...['application/json', 'application/json; charset=utf-16', 'text/plain', 'text/plain; charset=latin1'],
  ...['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml', 'json', ';'],
  ...['application/json;;', 'APPLICATION/JSON', 'application/problem+json', 'application/octet-stream'],
];
const ACCEPTS = [
  '*/*',
  'text/plain',
  'text/event-stream',
  'application/x-ndjson',
  'text/html',
  'a/b',
  ',;q',
  '',
];
const HEADERS: readonly (readonly [string, readonly string[]])[] = [
  ['accept', ACCEPTS],
  ['content-type', TYPES],
  ['cookie', ['bullpen_session=x', '=', ';;', 'a=%', `a=${LONG}`]],
  ['last-event-id', ['0', '1-1', '-', 'x', LONG]],
  ['host', ['evil.example', '', '127.0.0.1', '[', 'localhost:99999']],
  ['origin', ['null', 'http://evil.example', '']],
  ['x-request-id', ['x', 'a b', LONG, '💥'.codePointAt(0)?.toString() ?? '']],
  ['x-forwarded-for', ['1.2.3.4', 'x', ',']],
  ['range', ['bytes=0-1', 'bytes=9-1']],
  ['content-encoding', ['gzip', 'br', 'x']],
  ['x-http-method-override', ['DELETE']],
  ['if-none-match', ['*']],
];
/** Two seconds of waiting for each request would be a long test. */
const SHORT: Readonly<Record<string, string>> = { wait: '0.01' };
const WRONG = 0.05;

/** How many of the optional fields are given: two, on average. */
export const shareOf = (all: readonly unknown[]): number => Math.min(0.5, 2 / all.length);
const MAX_ITEMS = 3;
const KNOWN_IDS = 8;

interface Given {
  /** The schemas that others refer to. */
  readonly named: Readonly<Record<string, Schema>>;
  /** Values of fields that a schema does not tell. */
  readonly fields: Readonly<Record<string, readonly string[]>>;
}

/** The same numbers give the same values, but for ids of the server. */
export function createGenerator(next: () => number, { named, fields }: Given): Generator {
  const ids = new Map<string, string[]>();
  const cursors: string[] = [];
  const chance = (share: number): boolean => next() < share;
  const below = (end: number): number => Math.floor(next() * end);
  const one = <T>(values: readonly T[]): T | undefined => values[below(values.length)];
  const nastyText = (): string => one(NASTY_TEXTS) ?? '';
  const visible = (text: string): string => text.replaceAll(/[^\x20-\x7e\x80-\xff]/g, '?');

  function text({ pattern, format, minLength = 0, maxLength = 64 }: Schema): string {
    if (format === 'date-time') return new Date(Date.UTC(2026, below(24), 1 + below(28))).toISOString();
    const fits = (text: string): boolean =>
      text.length >= minLength && text.length <= maxLength && new RegExp(pattern ?? '', 'u').test(text);
    return one(FITTING.filter(fits)) ?? one([...ids.values()].flat()) ?? 'x';
  }

  function number({ minimum, exclusiveMinimum, maximum = 1000 }: Schema): number {
    const least = minimum ?? (exclusiveMinimum ?? 0) + 1;
    return chance(0.3) ? (one([least, maximum]) ?? 0) : least + below(Math.min(maximum - least, 50) + 1);
  }

  /** A value of a field. What a schema cannot say is taken from the server. */
  function field(name: string, schema: Schema): unknown {
    const known = name === 'jobId' ? ids.get('jobs') : fields[name];
    return known === undefined || chance(WRONG) ? value(schema) : one(known);
  }

  function object({ properties = {}, patternProperties = {}, required = [] }: Schema): object {
    const all = Object.entries(properties);
    const own = all
      .filter(([name]) => required.includes(name) || chance(shareOf(all)))
      .map(([name, schema]) => [name, field(name, schema)]);
    const free = Object.values(patternProperties).flatMap((schema) =>
      chance(0.5) ? [[text({}), value(schema)]] : [],
    );
    const stray = chance(0.02) ? [[nastyText(), one(NASTY)]] : [];
    return Object.fromEntries([...own, ...free, ...stray]);
  }

  function value(schema: Schema): unknown {
    if (chance(WRONG)) return one(NASTY);
    if (schema.$ref !== undefined) return value(named[schema.$ref.split('/').at(-1) ?? ''] ?? {});
    if (schema.anyOf !== undefined) return value(one(schema.anyOf) ?? {});
    if (schema.enum !== undefined) return one(schema.enum);
    if ('const' in schema) return schema.const;
    switch (schema.type) {
      case 'string':
        return text(schema);
      case 'integer':
      case 'number':
        return number(schema);
      case 'boolean':
        return chance(0.5);
      case 'null':
        return null;
      case 'array': {
        const length = (schema.minItems ?? 0) + below(MAX_ITEMS);
        return Array.from({ length }, () => value(schema.items ?? {}));
      }
      case 'object':
        return object(schema);
      default:
        return one(NASTY);
    }
  }

  function body(type: string, schema: Schema): Buffer {
    if (chance(0.04)) return Buffer.from(one(RAW_BODIES) ?? '');
    if (chance(0.02)) return Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0xc0, 0x80, 0x7d]);
    const whole = value(schema);
    const isText = type === 'text/plain' && typeof whole === 'string';
    const written = isText ? whole : (JSON.stringify(whole) ?? '');
    return Buffer.from(chance(0.02) ? written.slice(0, below(written.length)) : written);
  }

  return {
    chance,
    one,
    headers: () =>
      Object.fromEntries(
        HEADERS.filter(() => chance(0.012)).map(([name, values]) => [name, visible(one(values) ?? '')]),
      ),
    headerValue: () => (chance(0.5) ? `key-${below(20)}` : visible(nastyText())),
    pathPart(path) {
      if (chance(0.15)) return encodeURIComponent(nastyText().toWellFormed());
      if (chance(0.03)) return one(['%', '%zz', '%ff', '..', '.', '', 'a/b', '%2e%2e', ';', '*']) ?? '';
      if (path.includes('{name}')) return 'echo';
      return one(ids.get(path.split('/')[2] ?? '') ?? []) ?? 'x';
    },
    queryValue(name, schema) {
      const given = name === 'cursor' || name === 'after' ? (one(cursors) ?? 'x') : field(name, schema);
      if (chance(0.02)) return one(['%', '%zz', '%ff', '+', '&', '=', '#', '[]']) ?? '';
      const written = typeof given === 'object' ? JSON.stringify(given) : String(given);
      const short = SHORT[name];
      if (short !== undefined && Number(written) > 0) return short;
      return encodeURIComponent(written.toWellFormed());
    },
    strayQuery: () => one(['__proto__=1', 'x', '=', '&&', 'x[]=1', 'ticket=x', 'limit=1&limit=2', '%']) ?? '',
    body,
    learn(path, answer) {
      const noun = path.split(/[/?]/)[2] ?? '';
      const own = ids.get(noun) ?? [];
      for (const [, id = ''] of answer.matchAll(/"id":"([0-9A-Z]{26})"/g)) own.push(id);
      ids.set(noun, own.slice(-KNOWN_IDS));
      for (const [, cursor = ''] of answer.matchAll(/"nextCursor":"([^"]+)"/g)) cursors.push(cursor);
      cursors.splice(0, cursors.length - KNOWN_IDS);
    },
  };
}
