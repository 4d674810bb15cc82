import { describe, expect, it } from 'vitest';
import { createTroubles } from '../../../../src/executor/warm/troubles.ts';

describe('a shape whose processes are of no use', () => {
  it('is left alone for a minute after three in a row, and then tried again', () => {
    let now = 0;
    const troubles = createTroubles(() => now);
    for (const paused of [false, false, true]) {
      troubles.add('a');
      expect(troubles.isPaused('a')).toBe(paused);
    }
    expect(troubles.isPaused('b')).toBe(false);
    now = 59_999;
    expect(troubles.isPaused('a')).toBe(true);
    now = 60_000;
    expect(troubles.isPaused('a')).toBe(false);
    troubles.add('a');
    expect(troubles.isPaused('a'), 'it starts anew').toBe(false);
  });

  it('is forgotten when a hundred others have come since', () => {
    const troubles = createTroubles(() => 0);
    for (let i = 0; i < 3; i += 1) troubles.add('a');
    for (let i = 0; i < 99; i += 1) troubles.add(`b${i}`);
    expect(troubles.isPaused('a')).toBe(true);
    troubles.add('c');
    expect(troubles.isPaused('a')).toBe(false);
  });

  it('is forgiven when one has served', () => {
    const troubles = createTroubles(() => 0);
    troubles.add('a');
    troubles.add('a');
    troubles.over('a');
    troubles.add('a');
    expect(troubles.isPaused('a')).toBe(false);
  });
});
