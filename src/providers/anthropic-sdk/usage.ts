import type { TokenCounts } from '../../protocol/outcome.ts';
import type { MessageUsage } from './lines.ts';

/** The counts after one more report. Reports are totals; what one leaves out stays as it was. */
export const updatedTokens = (before: TokenCounts | null, usage: MessageUsage): TokenCounts => ({
  inputTokens: usage.input_tokens ?? before?.inputTokens ?? 0,
  outputTokens: usage.output_tokens ?? before?.outputTokens ?? 0,
  cacheReadTokens: usage.cache_read_input_tokens ?? before?.cacheReadTokens ?? 0,
  cacheWriteTokens: usage.cache_creation_input_tokens ?? before?.cacheWriteTokens ?? 0,
});
