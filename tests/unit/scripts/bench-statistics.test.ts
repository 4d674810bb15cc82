import { describe, expect, it } from 'vitest';
import { line, measured, medianOf, ratio, sample, turns } from '../../../scripts/bench/comparison.ts';
import { isMet } from '../../../scripts/bench/results.ts';
import { median, quantile, steadyRate, summary } from '../../../scripts/bench/statistics.ts';

describe('quantiles', () => {
  it('lie between the values, in any order of them', () => {
    expect(quantile([4, 1, 3, 2], 0.25)).toBeCloseTo(1.75);
    expect(median([3, 1, 2])).toBe(2);
    expect(median([5])).toBe(5);
  });

  it('of nothing are not a number', () => {
    expect(median([])).toBeNaN();
  });

  it('are rounded to three decimals in a summary', () => {
    expect(summary([1, 2, 3.00049])).toEqual({ n: 3, min: 1, p50: 2, p90: 2.8, p99: 2.98, max: 3 });
  });
});

describe('the steady rate of a run', () => {
  it('counts every prompt but the first when one runs at a time', () => {
    expect(steadyRate([1500, 500, 1000], 1)).toBe(2);
  });

  it('leaves out a head start: prompts that were ready count only as the place where the clock starts', () => {
    const steady = [1000, 2000, 3000, 4000, 5000];
    expect(steadyRate([10, 20, ...steady, 5001], 2)).toBeCloseTo(5 / ((5000 - 20) / 1000));
    expect(steadyRate([20, 20, ...steady, 5001], 2)).toBe(steadyRate([0, 20, ...steady, 5001], 2));
  });

  it('leaves out the end, where processors are free', () => {
    const inTheMiddle = [1000, 1000, 2000, 2000, 3000, 3000];
    expect(steadyRate([...inTheMiddle, 3001], 2)).toBe(steadyRate([...inTheMiddle, 9000], 2));
  });

  it('is not a number for a run with no middle', () => {
    expect(steadyRate([1, 2], 2)).toBeNaN();
    expect(steadyRate([], 1)).toBeNaN();
  });
});

describe('a line of the comparison', () => {
  const samples = { hand: [400, 380, 420], warm: [80, 100, 90] };

  it('has the median and the middle half of each way, and says what is missing', () => {
    const { cells } = line('whole answer', 'ms', samples, { sdk: 'it cannot be installed', hand: 'not so' });
    expect(cells).toEqual({
      hand: { n: 3, p25: 390, p50: 400, p75: 410 },
      warm: { n: 3, p25: 85, p50: 90, p75: 95 },
      sdk: { missing: 'it cannot be installed' },
    });
  });

  it('gives the ratio of two medians with its goal', () => {
    const goal = { relation: '≤', value: 0.25 } as const;
    expect(ratio(line('x', 'ms', samples), 'warm', 'hand', { name: 'warm / by hand', goal })).toEqual([
      { name: 'warm / by hand', value: 0.225, unit: '', goal },
    ]);
  });

  it('gives no ratio to what was not measured', () => {
    const one = line('x', 'ms', samples, { sdk: 'it cannot be installed' });
    expect(ratio(one, 'warm', 'sdk', { name: 'warm / Agent SDK' })).toEqual([]);
    expect(ratio(one, 'session', 'hand', { name: 'session / by hand' })).toEqual([]);
    expect(medianOf(one.cells.sdk)).toBeNull();
  });

  it('has no median of no measurements', () => {
    expect(measured([])).toEqual({ missing: 'not measured' });
  });

  it('keeps the measurements of each way apart', () => {
    const kept = {};
    sample(kept, 'cold', 1);
    sample(kept, 'warm', 2);
    sample(kept, 'cold', 3);
    expect(kept).toEqual({ cold: [1, 3], warm: [2] });
  });
});

describe('a goal', () => {
  const row = { name: 'x', unit: '' };

  it('is met at its very value, and on the right side of it', () => {
    const atMost = { relation: '≤', value: 2 } as const;
    const atLeast = { relation: '≥', value: 2 } as const;
    const met = (value: number, goal: typeof atMost | typeof atLeast) => isMet({ ...row, value, goal });
    expect([met(2, atMost), met(1, atMost), met(3, atMost)]).toEqual([true, true, false]);
    expect([met(2, atLeast), met(3, atLeast), met(1, atLeast)]).toEqual([true, true, false]);
  });

  it('is neither met nor missed without one, and by what could not be measured', () => {
    expect(isMet({ ...row, value: 1 })).toBeNull();
    expect(isMet({ ...row, value: Number.NaN, goal: { relation: '≤', value: 2 } })).toBeNull();
  });
});

describe('the turns of the rounds', () => {
  it('let every way be first as often as any other', () => {
    const firsts = [0, 1, 2, 3, 4, 5].map((round) => turns(['a', 'b', 'c'], round)[0]);
    expect(firsts.toSorted()).toEqual(['a', 'a', 'b', 'b', 'c', 'c']);
  });

  it('have each way once', () => {
    for (const round of [0, 1, 2, 3, 4, 5, 6])
      expect(turns(['a', 'b', 'c'], round).toSorted()).toEqual(['a', 'b', 'c']);
  });

  it('do not leave a way always behind the same one', () => {
    const order = [0, 1, 2, 3, 4, 5].map((round) => turns(['a', 'b', 'c'], round).join(''));
    const before = order.map((ways) => ways[ways.indexOf('b') - 1] ?? '-');
    expect(new Set(before)).toEqual(new Set(['a', 'c', '-']));
  });
});
