/** Costs of runs: as the CLI reports them, else estimated by the price table, else unknown. */
import type { TokenCounts, Usage } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Price, Prices } from '../protocol/usage.ts';
import type { Unsupported } from '../providers/built-in.ts';
import type { Progress, Provider } from '../providers/provider.ts';
import { PRICE_TABLE } from './price-table.ts';

export interface Pricing {
  /**
   * Returns the usage with its cost: `reported` stays; else `estimated` when every token belongs to
   * a model with a price; else `unknown`.
   */
  priced(progress: Pick<Progress, 'usage' | 'byModel'>): Usage | null;
  /** Whether a model has a price. */
  knows(model: string): boolean;
}

/** @param own prices of the settings, which replace those of the table */
export function createPricing(own: Prices): Pricing {
  const table = new Map(Object.entries({ ...PRICE_TABLE, ...own }));
  const find = (model: string): Price | null => table.get(model) ?? table.get(withoutDate(model)) ?? null;

  function estimate({
    usage,
    byModel,
  }: { readonly usage: Usage } & Pick<Progress, 'byModel'>): number | null {
    const counted = Object.entries(byModel);
    const tokens = counted.reduce((sum, [, counts]) => sum + total(counts), 0);
    // Tokens without a model would be missing in the sum.
    if (counted.length === 0 || tokens !== total(usage)) return null;
    let usd = 0;
    for (const [model, counts] of counted) {
      if (total(counts) === 0) continue;
      const price = find(model);
      if (price === null) return null;
      usd += costOf(counts, price);
    }
    return Math.round(usd * 1e10) / 1e10; // removes the noise of binary fractions
  }

  return {
    priced({ usage, byModel }) {
      if (usage === null || usage.costBasis === 'reported') return usage;
      const costUsd = estimate({ usage, byModel });
      return { ...usage, costUsd, costBasis: costUsd === null ? 'unknown' : 'estimated' };
    },
    knows: (model) => find(model) !== null,
  };
}

const total = (counts: TokenCounts): number =>
  counts.inputTokens + counts.outputTokens + counts.cacheReadTokens + counts.cacheWriteTokens;

const costOf = (counts: TokenCounts, { input, output, cacheRead, cacheWrite }: Price): number =>
  (counts.inputTokens * input +
    counts.outputTokens * output +
    counts.cacheReadTokens * (cacheRead ?? input) +
    counts.cacheWriteTokens * (cacheWrite ?? input)) /
  1e6;

/**
 * Removes the date and the context size from a model's name: `claude-haiku-4-5-20251001`,
 * `gpt-5-2025-08-07`, `claude-sonnet-4@20250514`, `claude-sonnet-4-5[1m]`.
 */
const withoutDate = (model: string): string =>
  model.replace(/\[1m\]$/, '').replace(/[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$/, '');

/** Refuses `maxCostUsd` when Bullpen must enforce it but cannot know what the run costs. */
export function unkeptCostCap(
  { streamCaps, reportsCost = false }: Provider,
  { model, maxCostUsd }: ResolvedPrompt,
  pricing: Pick<Pricing, 'knows'>,
): readonly Unsupported[] {
  if (maxCostUsd === null || reportsCost || !streamCaps.includes('maxCostUsd')) return [];
  if (model !== null && pricing.knows(model)) return [];
  const reason =
    model === null
      ? 'needs a model, whose price says what was spent'
      : `there is no price for ${model} (prices)`;
  return [{ option: 'maxCostUsd', reason }];
}
