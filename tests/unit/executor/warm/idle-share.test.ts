import { describe, expect, it } from 'vitest';
import { createIdleShare } from '../../../../src/executor/warm/idle-share.ts';

describe('the share of idle processor time', () => {
  it('is that of the time since it was asked before, and the same for half a second', () => {
    let at = 0;
    let ticks = { idle: 0, all: 0 };
    const share = createIdleShare(
      () => ticks,
      () => at,
    );
    expect(share(), 'nothing is known').toBe(1);
    at = 500;
    ticks = { idle: 30, all: 100 };
    expect(share()).toBe(0.3);
    at = 999;
    ticks = { idle: 130, all: 200 };
    expect(share()).toBe(0.3);
    at = 1500;
    expect(share()).toBe(1);
    at = 2500;
    ticks = { idle: 130, all: 400 };
    expect(share()).toBe(0);
  });

  it('can be read here', () => {
    let at = 0;
    const share = createIdleShare(undefined, () => at);
    at = 1000;
    expect(share()).toBeGreaterThanOrEqual(0);
    expect(share()).toBeLessThanOrEqual(1);
  });
});
