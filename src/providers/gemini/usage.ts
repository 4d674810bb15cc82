/** What a run used: `stats` of the last line is the run's own, also when it resumed a session (gemini 0.61.0). */
import type { TokenCounts, Usage } from '../../protocol/outcome.ts';
import type { Stats, TokenStats } from './lines.ts';

/** What was thought is in no figure but the total; it is billed as output. https://ai.google.dev/gemini-api/docs/thinking */
const fromStats = (stats: TokenStats): TokenCounts => ({
  inputTokens: stats.input,
  outputTokens: Math.max(stats.output_tokens, stats.total_tokens - stats.input_tokens),
  cacheReadTokens: stats.cached,
  cacheWriteTokens: 0,
});

/** The run's usage. The CLI tells no cost. */
export const usageOf = (stats: Stats): Usage => ({
  ...fromStats(stats),
  costUsd: null,
  costBasis: 'unknown',
});

/** The same by model. */
export const usageByModel = ({ models = {} }: Stats): Readonly<Record<string, TokenCounts>> =>
  Object.fromEntries(Object.entries(models).map(([name, stats]) => [name, fromStats(stats)]));
