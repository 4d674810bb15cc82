import { describe, expect, it } from 'vitest';
import { createLineSplitter } from '../../../src/processes/lines.ts';
import { random } from '../../helpers/random.ts';

type Seen = { line: string; cut: readonly string[] | null };

const named = (cut: ReadonlySet<string> | null): readonly string[] | null => cut && [...cut];

function split(chunks: readonly Buffer[], maxLineBytes = 1024): Seen[] {
  const seen: Seen[] = [];
  const splitter = createLineSplitter({
    maxLineBytes,
    maxTextBytes: 64,
    onLine: (line, cut) => seen.push({ line, cut: named(cut) }),
  });
  for (const chunk of chunks) splitter.write(chunk);
  splitter.end();
  return seen;
}

const texts = (chunks: readonly (string | number[])[], maxLineBytes?: number): string[] =>
  split(
    chunks.map((chunk) => (typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk))),
    maxLineBytes,
  ).map(({ line }) => line);

describe('the line splitter', () => {
  it('emits lines without newline or carriage return', () => {
    expect(texts(['a\nb\r\n\nc\rd\n'])).toEqual(['a', 'b', '', 'c\rd']);
  });

  it('joins the pieces of a line', () => {
    expect(texts(['a', 'b', 'c\nd', '\r', '\ne\n'])).toEqual(['abc', 'd', 'e']);
  });

  it('emits a last line without newline', () => {
    expect(texts(['a\nb'])).toEqual(['a', 'b']);
    expect(texts(['a\n'])).toEqual(['a']);
    expect(texts([])).toEqual([]);
  });

  it('keeps a character that is split over two chunks', () => {
    const bytes = [...Buffer.from('é€😀\n')];
    for (let at = 1; at < bytes.length; at += 1) {
      expect(texts([bytes.slice(0, at), bytes.slice(at)])).toEqual(['é€😀']);
    }
  });

  it('replaces bytes that are not UTF-8 and keeps NULs', () => {
    expect(texts([[0xff, 0x61, 0xc3, 0x28, 0x00, 0x0a]])).toEqual(['\u{fffd}a\u{fffd}(\0']);
  });

  it('drops a byte order mark only at the start', () => {
    expect(texts(['\u{feff}a\n\u{feff}b\n'])).toEqual(['a', '\u{feff}b']);
  });

  it('cuts a line that is too long, reports it, and continues after its newline', () => {
    expect(split([Buffer.from('abcdef\nabcd\nx\n')], 4)).toEqual([
      { line: 'abcd', cut: [''] },
      { line: 'abcd', cut: null },
      { line: 'x', cut: null },
    ]);
  });

  it('emits a line that is too long once, without waiting for its newline', () => {
    const seen: Seen[] = [];
    const splitter = createLineSplitter({
      maxLineBytes: 4,
      maxTextBytes: 4,
      onLine: (line, cut) => seen.push({ line, cut: named(cut) }),
    });
    splitter.write(Buffer.from('abcde'));
    expect(seen).toEqual([{ line: 'abcd', cut: [''] }]);
    splitter.write(Buffer.from('fghijkl'));
    splitter.end();
    expect(seen).toHaveLength(1);
  });

  it('does not split a character at a cut', () => {
    expect(split([Buffer.from('ab€cd\n')], 4)).toEqual([{ line: 'ab', cut: [''] }]);
    expect(split([Buffer.from('ab€cd\n')], 5)).toEqual([{ line: 'ab€', cut: [''] }]);
    expect(split([Buffer.from('😀😀\n')], 7)).toEqual([{ line: '😀', cut: [''] }]);
  });

  it('emits the same lines for any division into chunks', () => {
    const next = random(7);
    const alphabet = ['a', '\n', '\r\n', 'é', '€', '😀', '\r', '\u{feff}', 'long'.repeat(10)];
    for (let round = 0; round < 300; round += 1) {
      const parts = Array.from({ length: 40 }, () =>
        Buffer.from(alphabet[Math.floor(next() * alphabet.length)] ?? ''),
      );
      if (next() < 0.5) parts.splice(Math.floor(next() * 40), 0, Buffer.from([0xc3, 0xff, 0x80]));
      const whole = Buffer.concat(parts);
      const chunks: Buffer[] = [];
      for (let at = 0; at < whole.length; ) {
        const length = 1 + Math.floor(next() * 9);
        chunks.push(whole.subarray(at, at + length));
        at += length;
      }
      expect(split(chunks, 24)).toEqual(split([whole], 24));
    }
  });

  it('holds no more than its limit of 100 MB without a newline', () => {
    const chunk = Buffer.alloc(64 * 1024, 'x');
    const seen: number[] = [];
    const splitter = createLineSplitter({
      maxLineBytes: 1024 * 1024,
      maxTextBytes: 1024,
      onLine: (line) => seen.push(line.length),
    });
    const before = process.memoryUsage().arrayBuffers;
    for (let bytes = 0; bytes < 100e6; bytes += chunk.length) splitter.write(chunk);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
    splitter.end();
    expect(seen).toEqual([1024 * 1024]);
  });
});
