/**
 * What a run used and cost. `total_cost_usd` goes on from what a resumed session had cost before, so a
 * run's own cost is the sum of `model_usage_since_last_result` (observed with claude 2.1.329).
 */
import type { Usage } from '../../protocol/outcome.ts';
import type { ApiUsage, ModelUsage } from './api-usage.ts';
import type { ResultLine } from './result-line.ts';

type Tokens = Omit<Usage, 'costUsd' | 'costBasis'>;

const NO_TOKENS: Tokens = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
const KINDS = ['inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens'] as const;

const combine = (a: Tokens, b: Tokens, how: (a: number, b: number) => number): Tokens => {
  const combined = { ...a };
  for (const kind of KINDS) combined[kind] = Math.round(how(a[kind], b[kind]));
  return combined;
};
const add = (a: Tokens, b: Tokens): Tokens => combine(a, b, (x, y) => x + y);

const fromApi = (usage: ApiUsage): Tokens => ({
  inputTokens: usage.input_tokens ?? 0,
  outputTokens: usage.output_tokens ?? 0,
  cacheReadTokens: usage.cache_read_input_tokens ?? 0,
  cacheWriteTokens: usage.cache_creation_input_tokens ?? 0,
});

const fromModel = (usage: ModelUsage): Tokens => ({
  inputTokens: usage.inputTokens,
  outputTokens: usage.outputTokens,
  cacheReadTokens: usage.cacheReadInputTokens,
  cacheWriteTokens: usage.cacheCreationInputTokens,
});

/** The fold over one run's token counts. */
export interface UsageMeter {
  /** Counts of one API call, as they are streamed; the largest figure of each kind counts. */
  sawCall(messageId: string, usage: ApiUsage): void;
  /** A turn ended: its own figures replace what was streamed for it. */
  sawResult(result: ResultLine): void;
  /** All so far; null when nothing was counted. */
  total(): Usage | null;
}

/** @param fresh whether the run began its session; else `total_cost_usd` is not the run's own */
export function createUsageMeter(fresh: boolean): UsageMeter {
  const calls = new Map<string, Tokens>();
  let settled: Tokens = NO_TOKENS;
  let costUsd: number | null = 0;
  let counted = false;

  return {
    sawCall(messageId, usage) {
      calls.set(messageId, combine(calls.get(messageId) ?? NO_TOKENS, fromApi(usage), Math.max));
    },
    sawResult(result) {
      const models = result.model_usage_since_last_result;
      const streamed = [...calls.values()].reduce(add, NO_TOKENS);
      calls.clear();
      counted = true;
      if (models !== undefined && models !== null) {
        const each = Object.values(models);
        settled = each.map(fromModel).reduce(add, settled);
        costUsd = each.reduce<number | null>((sum, { costUSD }) => plus(sum, costUSD ?? null), costUsd);
        return;
      }
      settled = add(settled, result.usage ? fromApi(result.usage) : streamed);
      costUsd = fresh ? (result.total_cost_usd ?? null) : null;
    },
    total() {
      if (!counted && calls.size === 0) return null;
      const tokens = [...calls.values()].reduce(add, settled);
      // Calls after the last result were cut short: nobody has said what they cost.
      const known = calls.size === 0 && costUsd !== null ? tidy(costUsd) : null;
      return { ...tokens, costUsd: known, costBasis: known === null ? 'unknown' : 'reported' };
    },
  };
}

const plus = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : a + b);

/** Sums of binary fractions carry noise behind the digits that mean something. */
const tidy = (costUsd: number): number => Math.round(costUsd * 1e10) / 1e10;
