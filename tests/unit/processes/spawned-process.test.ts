import { describe, expect, it } from 'vitest';
import { createTail } from '../../../src/processes/spawned-process.ts';

function tailOf(maxBytes: number, ...chunks: string[]): string {
  const tail = createTail(maxBytes);
  for (const chunk of chunks) tail.write(Buffer.from(chunk));
  return tail.text();
}

describe('the stderr tail', () => {
  it('is empty at first', () => {
    expect(tailOf(8)).toBe('');
  });

  it('keeps everything while it fits', () => {
    expect(tailOf(8, 'ab', 'cd')).toBe('abcd');
    expect(tailOf(8, 'abcd', 'efgh')).toBe('abcdefgh');
  });

  it('keeps the last bytes of any chunks', () => {
    expect(tailOf(4, 'abcdefgh')).toBe('efgh');
    expect(tailOf(4, 'abc', 'def', 'gh')).toBe('efgh');
    expect(tailOf(4, 'ab', 'cdefghijk')).toBe('hijk');
    expect(tailOf(4, ...'abcdefghijklm')).toBe('jklm');
  });

  it('begins with a whole character', () => {
    expect(tailOf(4, 'a€€')).toBe('€');
    expect(tailOf(5, '😀', 'ab')).toBe('ab');
  });
});
