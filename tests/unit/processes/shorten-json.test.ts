import { describe, expect, it } from 'vitest';
import { createLineSplitter } from '../../../src/processes/lines.ts';
import { random } from '../../helpers/random.ts';

const MAX_LINE = 1000;
const MAX_TEXT = 2000;
const COPY = 16 * MAX_TEXT;

interface Seen {
  readonly line: string;
  readonly cut: readonly string[] | null;
}

function split(input: string | Buffer, chunkBytes = 700): Seen[] {
  const bytes = Buffer.from(input);
  const seen: Seen[] = [];
  const splitter = createLineSplitter({
    maxLineBytes: MAX_LINE,
    maxTextBytes: MAX_TEXT,
    onLine: (line, cut) => seen.push({ line, cut: cut && [...cut] }),
  });
  for (let at = 0; at < bytes.length; at += chunkBytes) splitter.write(bytes.subarray(at, at + chunkBytes));
  splitter.end();
  return seen;
}

/** The only line, parsed. */
function shortened(
  input: string | Buffer,
  chunkBytes?: number,
): {
  readonly value: Readonly<Record<string, unknown>>;
  readonly cut: readonly string[];
} {
  const [one, ...others] = split(input, chunkBytes);
  expect(others).toEqual([]);
  return { value: JSON.parse(one?.line ?? ''), cut: one?.cut ?? ['no line'] };
}

/** Whether `part` is `whole` without some ends of texts, members and elements. */
function isPartOf(part: unknown, whole: unknown): boolean {
  if (typeof part === 'string') return typeof whole === 'string' && whole.startsWith(part);
  if (typeof part !== 'object' || part === null || typeof whole !== 'object' || whole === null)
    return Object.is(part, whole);
  if (!Array.isArray(part))
    return Object.entries(part).every(([key, value]) =>
      isPartOf(value, Object.entries(whole).find(([k]) => k === key)?.[1]),
    );
  if (!Array.isArray(whole)) return false;
  let at = 0;
  return part.every((element) => {
    while (at < whole.length && !isPartOf(element, whole[at])) at += 1;
    at += 1;
    return at <= whole.length;
  });
}

describe('a line of JSON that is too long', () => {
  it('keeps the parts before and after a long part of any kind', () => {
    const long = 'x'.repeat(90_000);
    const denial = { tool_name: 'Write', tool_use_id: 'id', tool_input: { content: long, path: '/a' } };
    const parts: readonly unknown[] = [
      long,
      [long, long],
      Array.from({ length: 20 }, () => denial),
      Array.from({ length: 20_000 }, (_, at) => ({ tool_name: 'Write', tool_input: { at } })),
      { a: { b: [{ c: long }] } },
      { [long]: 1, other: 2 },
      Array.from({ length: 5000 }, () => 1234.5),
    ];
    for (const part of parts) {
      const whole = {
        type: 'result',
        part,
        result: 'y'.repeat(1500),
        usage: { models: { m: { tokens: 5 } } },
      };
      const { value, cut } = shortened(JSON.stringify(whole));
      expect({ ...value, part: null }).toEqual({ ...whole, part: null });
      expect(isPartOf(value['part'], part)).toBe(true);
      expect(cut).toEqual(['part']);
    }
  });

  it('leaves out parts that are nested too deeply', () => {
    const deep = `${'[{"a":'.repeat(50_000)}1${'}]'.repeat(50_000)}`;
    const { value, cut } = shortened(`{"a":1,"deep":${deep},"b":2}`);
    expect(value).toMatchObject({ a: 1, b: 2 });
    expect(JSON.stringify(value).length).toBeLessThan(3000);
    expect(cut).toEqual(['deep']);
  });

  it('leaves out a member with a long name, and names it', () => {
    const { value, cut } = shortened(JSON.stringify({ a: 1, ['k'.repeat(5000)]: { b: ['"', '}'] }, c: 3 }));
    expect(value).toEqual({ a: 1, c: 3 });
    expect(cut).toEqual([expect.stringMatching(/^k+$/)]);
  });

  it('keeps more of a text than fits into an outcome, with escapes resolved', () => {
    for (const unit of ['a', '\n', '"\\', 'é', '€', '😀', '\u0001']) {
      for (const escaped of [false, true]) {
        const text = unit.repeat(3000);
        const json = JSON.stringify({ result: text, end: true });
        const line = escaped
          ? json.replaceAll(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
          : json;
        const { value, cut } = shortened(line, 33);
        const kept = String(value['result']);
        expect(value['end']).toBe(true);
        expect(text.startsWith(kept)).toBe(true);
        expect(cut).toEqual(kept === text ? [] : ['result']);
        expect(Buffer.byteLength(kept)).toBeGreaterThan(MAX_TEXT);
        expect(kept.isWellFormed()).toBe(true);
      }
    }
  });

  it('leaves out nothing when all parts fit, but reports that the line was too long', () => {
    const whole = Array.from({ length: 100 }, (_, at) => ({ at, text: 'some text' }));
    expect(shortened(JSON.stringify(whole))).toEqual({ value: whole, cut: [] });
  });

  it('gives the same result for any division into chunks', () => {
    const text = JSON.stringify({
      a: '"\\\\"é😀\u0007'.repeat(900),
      b: [{ c: '\\'.repeat(9000) }, 1e5, null],
      d: -0.5,
    });
    const whole = split(text, 1e6);
    for (const size of [1, 2, 3, 5, 7, 11, 1013]) expect(split(text, size)).toEqual(whole);
  });

  it('shortens any JSON to a part of it that parses and fits', () => {
    const next = random(11);
    const pick = (count: number): number => Math.floor(next() * count);
    const word = (): string =>
      Array.from(
        { length: pick(4) },
        () => ['a', '"', '\\', '\ud83d', '\ude00', '😀', '\n', 'é', '{', ']'][pick(10)],
      )
        .join('')
        .repeat(next() < 0.05 ? 2000 : 1);
    const value = (depth: number): unknown => {
      const kind = pick(depth > 5 ? 4 : 7);
      if (kind === 0) return word();
      if (kind === 1) return next() * 10 ** pick(20);
      if (kind < 4) return [true, false, null][pick(3)];
      const size = next() < 0.03 && depth < 2 ? 400 : pick(depth < 3 ? 6 : 3);
      return kind === 4
        ? Object.fromEntries(
            Array.from({ length: size }, () => [word().slice(0, 1200) + pick(99), value(depth + 1)]),
          )
        : Array.from({ length: size }, () => value(depth + 1));
    };
    let long = 0;
    for (let round = 0; round < 100; round += 1) {
      const whole = next() < 0.5 ? { a: value(0), b: value(0), c: 1 } : [value(0), value(0), value(0)];
      const text = JSON.stringify(whole, null, next() < 0.2 ? '\t' : 0).replaceAll('\n', ' ');
      if (text.length <= MAX_LINE) continue;
      long += 1;
      const { value: part, cut } = shortened(`${text}\r\n`, 1 + pick(2000));
      expect(isPartOf(part, whole)).toBe(true);
      for (const [key, one] of Object.entries(whole)) {
        if (!cut.includes(key) && !cut.includes('')) expect(Object.entries(part)).toContainEqual([key, one]);
      }
      expect(JSON.stringify(part).length).toBeLessThan(COPY + 2000);
    }
    expect(long).toBeGreaterThan(8);
  });

  it('shortens one line of a document of many', () => {
    const long = 'x'.repeat(9000);
    const text = ['{', `  "log": "${long}",`, `  "list": [1, "${long}"],`, '  "text": "answer"', '}'].join(
      '\n',
    );
    const seen = split(text);
    expect(JSON.parse(seen.map(({ line }) => line).join('\n'))).toEqual({
      log: expect.stringMatching(/^x+$/),
      list: [1, expect.stringMatching(/^x+$/)],
      text: 'answer',
    });
    expect(seen.map(({ cut }) => cut)).toEqual([null, ['log'], ['list'], null, null]);
    expect(shortened(`"${long}"`)).toEqual({ value: expect.stringMatching(/^x{2001}/), cut: [''] });
  });

  it('emits the beginning of a line that is not JSON, and completes nothing', () => {
    const half = JSON.stringify({ type: 'result', result: 'x'.repeat(9000) });
    for (const line of [
      half.slice(0, -1),
      half.slice(0, 5000),
      `${half}x`,
      `[INFO] ${half}`,
      `"a" said ${half}`,
    ]) {
      expect(split(line)).toEqual([{ line: line.slice(0, MAX_LINE), cut: [''] }]);
    }
    expect(split(`${half}\n${half.slice(1)}\nz\n`).map(({ cut }) => cut)).toEqual([['result'], [''], null]);
  });

  it('holds little of a line of 5 MB of any shape', () => {
    const shapes = ['[1,', '{"a":', '"text', '[{"tool_input":{"a":"b"}},', '\\u0041', '{"k":"v","n":1},'];
    const before = process.memoryUsage().arrayBuffers;
    for (const shape of shapes) {
      const chunk = Buffer.from(shape.repeat(Math.floor(65_536 / shape.length)));
      const splitter = createLineSplitter({
        maxLineBytes: MAX_LINE,
        maxTextBytes: MAX_TEXT,
        onLine: () => {},
      });
      splitter.write(
        Buffer.from('{"a":[{"t":"'.slice(0, shape.startsWith('"') || shape.startsWith('\\') ? 12 : 6)),
      );
      for (let bytes = 0; bytes < 5e6; bytes += chunk.length) splitter.write(chunk);
      splitter.end();
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
  });
});
