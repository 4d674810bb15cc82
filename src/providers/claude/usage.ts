/**
 * Tokens and cost of a run. `total_cost_usd` includes what a resumed session had cost before, so
 * the run's own cost is the sum of `model_usage_since_last_result` (observed with claude 2.1.329).
 */
import type { TokenCounts, Usage } from '../../protocol/outcome.ts';
import type { ApiUsage, ModelUsage, ResultLine } from './lines.ts';

const NO_TOKENS: TokenCounts = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
const KINDS = ['inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens'] as const;

const combine = (a: TokenCounts, b: TokenCounts, how: (a: number, b: number) => number): TokenCounts => {
  const combined = { ...a };
  for (const kind of KINDS) combined[kind] = Math.round(how(a[kind], b[kind]));
  return combined;
};
const add = (a: TokenCounts, b: TokenCounts): TokenCounts => combine(a, b, (x, y) => x + y);

const fromApi = (usage: ApiUsage): TokenCounts => ({
  inputTokens: usage.input_tokens ?? 0,
  outputTokens: usage.output_tokens ?? 0,
  cacheReadTokens: usage.cache_read_input_tokens ?? 0,
  cacheWriteTokens: usage.cache_creation_input_tokens ?? 0,
});

const fromModel = (usage: ModelUsage): TokenCounts => ({
  inputTokens: usage.inputTokens,
  outputTokens: usage.outputTokens,
  cacheReadTokens: usage.cacheReadInputTokens,
  cacheWriteTokens: usage.cacheCreationInputTokens,
});

/** Adds up the token counts of one run. */
export interface UsageMeter {
  /** Streamed counts of one API call. The largest figure of each kind counts. */
  sawCall(messageId: string, usage: ApiUsage, model: string | null): void;
  /** A turn ended. Its figures replace the streamed ones. */
  sawResult(result: ResultLine): void;
  /** The sum so far; null when nothing was counted. */
  total(): Usage | null;
  /** The same tokens by model, without those of unnamed models. */
  byModel(): Readonly<Record<string, TokenCounts>>;
}

interface Call {
  readonly model: string | null;
  readonly tokens: TokenCounts;
}

/**
 * @param fresh whether the run began its session. If not, `total_cost_usd` includes earlier runs.
 */
export function createUsageMeter(fresh: boolean): UsageMeter {
  const calls = new Map<string, Call>();
  const settledByModel = new Map<string, TokenCounts>();
  let settled: TokenCounts = NO_TOKENS;
  let costUsd: number | null = 0;
  let counted = false;

  return {
    sawCall(messageId, usage, model) {
      const before = calls.get(messageId);
      calls.set(messageId, {
        model: model ?? before?.model ?? null,
        tokens: combine(before?.tokens ?? NO_TOKENS, fromApi(usage), Math.max),
      });
    },
    sawResult(result) {
      const models = result.model_usage_since_last_result;
      const streamed = [...calls.values()];
      calls.clear();
      counted = true;
      if (models !== undefined && models !== null) {
        const each = Object.values(models);
        settled = each.map(fromModel).reduce(add, settled);
        for (const [model, usage] of Object.entries(models)) addTo(settledByModel, model, fromModel(usage));
        costUsd = each.reduce<number | null>((sum, { costUSD }) => plus(sum, costUSD ?? null), costUsd);
        return;
      }
      const own = streamed.map(({ tokens }) => tokens).reduce(add, NO_TOKENS);
      settled = add(settled, result.usage ? fromApi(result.usage) : own);
      for (const { model, tokens } of streamed) addTo(settledByModel, model, tokens);
      costUsd = fresh ? (result.total_cost_usd ?? null) : null;
    },
    total() {
      if (!counted && calls.size === 0) return null;
      const tokens = [...calls.values()].map((call) => call.tokens).reduce(add, settled);
      // Calls after the last result were cut short. Their cost is not known.
      const known = calls.size === 0 && costUsd !== null ? tidy(costUsd) : null;
      return { ...tokens, costUsd: known, costBasis: known === null ? 'unknown' : 'reported' };
    },
    byModel() {
      const all = new Map(settledByModel);
      for (const { model, tokens } of calls.values()) addTo(all, model, tokens);
      return Object.fromEntries(all);
    },
  };
}

function addTo(byModel: Map<string, TokenCounts>, model: string | null, tokens: TokenCounts): void {
  if (model !== null) byModel.set(model, add(byModel.get(model) ?? NO_TOKENS, tokens));
}

const plus = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : a + b);

/** Removes the noise of binary fractions from a sum. */
const tidy = (costUsd: number): number => Math.round(costUsd * 1e10) / 1e10;
