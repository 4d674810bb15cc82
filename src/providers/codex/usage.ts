/**
 * What a run used. codex counts per thread: a resumed run's figures go on from what the thread had, so a run's
 * own are the difference (observed with codex 0.169.0). Cached tokens are a part of its input tokens.
 */
import type { TokenCounts, Usage } from '../../protocol/outcome.ts';
import type { ThreadUsage } from './lines.ts';

const KINDS = ['inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens'] as const;

/** What the thread has used in all. */
export function threadTokens(usage: ThreadUsage): TokenCounts {
  const cacheReadTokens = usage.cached_input_tokens ?? 0;
  const cacheWriteTokens = usage.cache_write_input_tokens ?? 0;
  return {
    inputTokens: Math.max(0, usage.input_tokens - cacheReadTokens - cacheWriteTokens),
    outputTokens: usage.output_tokens,
    cacheReadTokens,
    cacheWriteTokens,
  };
}

/** @param before what the thread had used before this run, as far as it is known; null for a new one */
export function ownUsage(thread: ThreadUsage, before: TokenCounts | null): Usage {
  const own = threadTokens(thread);
  if (before !== null) for (const kind of KINDS) own[kind] = Math.max(0, own[kind] - before[kind]);
  return { ...own, costUsd: null, costBasis: 'unknown' };
}
