import { describe, expect, it } from 'vitest';
import { createScreen, type Screen, wholeLength } from '../../../src/terminals/screen.ts';
import { random } from '../../helpers/random.ts';
import { randomPiece } from './random-output.ts';
import { feed, stateOf, terminalOf } from './screen-state.ts';

const QUIET = { onAnswer: () => {}, onLineFeed: () => {}, onShellMark: () => {} };
const SIZES = [
  { cols: 80, rows: 24 },
  { cols: 20, rows: 5 },
  { cols: 200, rows: 50 },
  { cols: 2, rows: 2 },
] as const;

const screenOf = (cols: number, rows: number): Promise<Screen> => createScreen({ cols, rows }, QUIET);

/** The bytes in pieces of random lengths, often within a character or a sequence. */
function cut(bytes: Buffer, pick: () => number): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + Math.floor(pick() * (pick() < 0.5 ? 4 : 400));
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return parts;
}

describe('a copy of a screen', () => {
  it.each(SIZES)('is the same terminal, whatever was written, at $cols × $rows', async ({ cols, rows }) => {
    for (let seed = 1; seed <= 8; seed += 1) {
      const pick = random(seed * 1000 + cols);
      const screen = await screenOf(cols, rows);
      const straight = terminalOf(cols, rows);
      const output = Buffer.from(Array.from({ length: 150 }, () => randomPiece(pick, cols, rows)).join(''));
      const parts = cut(output, pick);
      const joinAt = Math.floor(pick() * parts.length);
      for (const part of parts.slice(0, joinAt)) screen.write(part);
      for (const part of parts.slice(0, joinAt)) feed(straight, part);
      const joined = terminalOf(cols, rows);
      feed(joined, screen.copy());
      expect(stateOf(joined), `seed ${seed}`).toBe(stateOf(straight));
      for (const part of parts.slice(joinAt)) {
        feed(straight, part);
        feed(joined, part);
      }
      expect(stateOf(joined), `seed ${seed}, later`).toBe(stateOf(straight));
      screen.dispose();
    }
  });
});

describe('whole characters', () => {
  it('end before one whose last bytes are missing', () => {
    const bytes = Buffer.from('aä漢👍');
    const whole = [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10];
    expect(whole.map((_, length) => wholeLength(bytes.subarray(0, length)))).toEqual(whole);
  });

  it('are all of them when the bytes are no UTF-8', () => {
    expect(wholeLength(Buffer.from([0x80, 0x80, 0x80, 0x80]))).toBe(4);
    expect(wholeLength(Buffer.from([0xff, 0x41]))).toBe(2);
  });
});
