import { describe, expect, it } from 'vitest';
import { markerMatches } from '../../../src/processes/proc-entry.ts';

describe('a marker', () => {
  it('matches itself alone', () => {
    expect(markerMatches('node-1/a', 'node-1/a')).toBe(true);
    expect(markerMatches('node-1/ab', 'node-1/a')).toBe(false);
  });

  it('matches its node when the wanted value ends in a slash', () => {
    expect(markerMatches('node-1/a', 'node-1/')).toBe(true);
    expect(markerMatches('node-10/a', 'node-1/')).toBe(false);
    expect(markerMatches('node-1', 'node-1/')).toBe(false);
  });
});
