import { describe, expect, it } from 'vitest';
import type { TokenCounts, Usage } from '../../../src/protocol/outcome.ts';
import { PRICE_TABLE } from '../../../src/usage/price-table.ts';
import { createPricing } from '../../../src/usage/pricing.ts';

const MILLION = 1_000_000;

const tokens = (changes: Partial<TokenCounts> = {}): TokenCounts => ({
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  ...changes,
});

const unpriced = (changes: Partial<TokenCounts>): Usage => ({
  ...tokens(changes),
  costUsd: null,
  costBasis: 'unknown',
});

const OWN = {
  'house-model': { input: 1, output: 2, cacheRead: 0.25, cacheWrite: 4 },
  bare: { input: 3, output: 5 },
};

describe('the price of a run', () => {
  const pricing = createPricing(OWN);
  const each = {
    inputTokens: MILLION,
    outputTokens: MILLION,
    cacheReadTokens: MILLION,
    cacheWriteTokens: MILLION,
  };

  it('is what its CLI reports, despite the table', () => {
    const usage: Usage = { ...tokens(each), costUsd: 0.5, costBasis: 'reported' };
    expect(pricing.priced({ usage, byModel: { 'house-model': tokens(each) } })).toBe(usage);
  });

  it('is each kind of token at its own price', () => {
    const priced = pricing.priced({ usage: unpriced(each), byModel: { 'house-model': tokens(each) } });
    expect(priced).toEqual({ ...tokens(each), costUsd: 7.25, costBasis: 'estimated' });
  });

  it('takes cached tokens for input where they have no price', () => {
    const priced = pricing.priced({ usage: unpriced(each), byModel: { bare: tokens(each) } });
    expect(priced?.costUsd).toBe(3 + 5 + 3 + 3);
  });

  it('adds up models', () => {
    const [a, b] = [{ inputTokens: MILLION }, { outputTokens: MILLION }];
    const byModel = { 'house-model': tokens(a), bare: tokens(b) };
    expect(pricing.priced({ usage: unpriced({ ...a, ...b }), byModel })?.costUsd).toBe(1 + 5);
  });

  it.each([
    ['a model has no price', { unknown: tokens({ inputTokens: 5 }) }],
    ['no model is named', {}],
    ['tokens belong to no named model', { bare: tokens({ inputTokens: 4 }) }],
  ])('is unknown when %s', (_, byModel) => {
    const priced = pricing.priced({ usage: unpriced({ inputTokens: 5 }), byModel });
    expect(priced).toEqual(unpriced({ inputTokens: 5 }));
  });

  it('needs no price for a model that used nothing', () => {
    const byModel = { unknown: tokens(), bare: tokens({ inputTokens: MILLION }) };
    expect(pricing.priced({ usage: unpriced({ inputTokens: MILLION }), byModel })?.costUsd).toBe(3);
  });

  it('is not made up where nothing was counted', () => {
    expect(pricing.priced({ usage: null, byModel: {} })).toBeNull();
  });
});

describe('a model', () => {
  const pricing = createPricing({
    'gpt-5': { input: 9, output: 9 },
    'claude-opus-5-20260101': { input: 1, output: 1 },
  });
  const usdOf = (model: string): number | null =>
    pricing.priced({
      usage: unpriced({ inputTokens: MILLION }),
      byModel: { [model]: tokens({ inputTokens: MILLION }) },
    })?.costUsd ?? null;

  it.each([
    'claude-haiku-4-5',
    'claude-haiku-4-5-20251001',
    'claude-haiku-4-5@20251001',
    'claude-haiku-4-5-latest',
  ])('%s has the price of its undated name', (model) => {
    expect(usdOf(model)).toBe(1);
    expect(pricing.knows(model)).toBe(true);
  });

  it('with a window of its own has the same price', () => {
    expect(usdOf('claude-sonnet-4-5-20250929[1m]')).toBe(3);
  });

  it('is priced by the settings first, and by its full name first', () => {
    expect(usdOf('gpt-5-2025-08-07')).toBe(9);
    expect(usdOf('claude-opus-5-20260101')).toBe(1);
    expect(usdOf('claude-opus-5')).toBe(5);
  });

  it.each(['gpt-5-pro', 'claude', 'gpt-55', '', 'constructor'])('%j is not taken for another', (model) => {
    expect(usdOf(model)).toBeNull();
    expect(pricing.knows(model)).toBe(false);
  });
});

it('every price of the table is one that could be: output dearer than input, cached input cheaper', () => {
  const odd = Object.entries(PRICE_TABLE).filter(
    ([, { input, output, cacheRead = input }]) => !(input > 0 && output > input && cacheRead < input),
  );
  expect(odd).toEqual([]);
});
