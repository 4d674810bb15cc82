import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createCheapMoves } from '../../../../src/executor/process/cheap-moves.ts';

/** How long the kernel takes over the first of them. */
const FIRST_MS = 8;

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

function open() {
  const at: number[] = [];
  const startedAt = performance.now();
  const moves = createCheapMoves({
    hasten: async () => {
      at.push(performance.now() - startedAt);
      if (at.length === 1) await new Promise((resolve) => setTimeout(resolve, FIRST_MS));
    },
  });
  return { at, moves, pass: (ms: number) => vi.advanceTimersByTimeAsync(ms) };
}

describe('keeping moves cheap', () => {
  it('begins when a start is announced, and ends when none has come', async () => {
    const { at, moves, pass } = open();
    await pass(100);
    expect(at).toEqual([]);
    moves.soon();
    await pass(1000);
    expect(at).toEqual([100, 120, 130, 140, 150]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('goes on for a moment after each start, and needs no move of its own beside them', async () => {
    const { at, moves, pass } = open();
    moves.soon();
    for (let start = 0; start < 50; start += 1) {
      moves.moved();
      await pass(4);
    }
    expect(at).toEqual([0]);
    await pass(1000);
    expect(at.length).toBeGreaterThan(1);
    expect(at.at(-1)).toBeLessThan(270);
  });

  it('says which of them is under way, for who must not be moved meanwhile', async () => {
    const { moves, pass } = open();
    moves.soon();
    const { underWay } = moves;
    expect(underWay).not.toBeNull();
    await pass(FIRST_MS);
    await underWay;
    expect(moves.underWay).toBeNull();
  });

  it('does nothing for starts that were not announced', async () => {
    const { at, moves, pass } = open();
    moves.moved();
    await pass(1000);
    expect(at).toEqual([]);
  });
});
