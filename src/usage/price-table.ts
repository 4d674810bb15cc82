/**
 * Prices of the vendors' own APIs, in USD for a million tokens, for runs whose CLI reports no cost.
 * Requests above a vendor's long-prompt threshold cost more; batches and subscriptions cost less.
 *
 * Sources: for Anthropic the model catalog inside claude 2.1.329; for OpenAI
 * https://developers.openai.com/api/docs/pricing; for Google
 * https://ai.google.dev/gemini-api/docs/pricing.
 */
import type { Price, Prices } from '../protocol/usage.ts';

/** When the table was last compared with its sources. */
export const PRICES_AS_OF = '2026-11-20';

/**
 * Anthropic: writing to the cache (for 5 minutes) costs 1.25 × input, reading 0.1 × unless given.
 */
const anthropic = (input: number, output: number, cacheRead = input / 10): Price => ({
  input,
  output,
  cacheRead,
  cacheWrite: input * 1.25,
});

/** OpenAI and Google: reading from the cache costs a tenth of input, writing as much as input. */
const cached = (input: number, output: number): Price => ({ input, output, cacheRead: input / 10 });

/** By the model's name without a date. */
export const PRICE_TABLE: Prices = {
  'claude-haiku-4-5': anthropic(1, 5),
  'claude-haiku-5-5': anthropic(0.1, 0.5),
  'claude-sonnet-4': anthropic(3, 15),
  'claude-sonnet-4-5': anthropic(3, 15),
  'claude-sonnet-4-6': anthropic(3, 15),
  'claude-sonnet-5': anthropic(2, 10),
  'claude-sonnet-5-5': anthropic(2, 10, 0.1),
  'claude-opus-4': anthropic(15, 75),
  'claude-opus-4-1': anthropic(15, 75),
  'claude-opus-4-5': anthropic(5, 25),
  'claude-opus-4-6': anthropic(5, 25),
  'claude-opus-4-7': anthropic(5, 25),
  'claude-opus-4-8': anthropic(5, 25),
  'claude-opus-5': anthropic(5, 25),
  'claude-opus-5-5': anthropic(4, 20, 0.2),
  'claude-fable-5': anthropic(10, 50),
  'claude-fable-5-1': anthropic(10, 50, 0.25),
  'claude-fable-5-2': anthropic(8, 40, 0.2),

  'gpt-5': cached(1.25, 10),
  'gpt-5-mini': cached(0.25, 2),
  'gpt-5-nano': cached(0.05, 0.4),
  'gpt-5-codex': cached(1.25, 10),
  'gpt-5.1': cached(1.25, 10),
  'gpt-5.1-codex': cached(1.25, 10),
  'gpt-5.1-codex-max': cached(1.25, 10),
  'gpt-5.1-codex-mini': cached(0.25, 2),
  'gpt-5.2': cached(1.75, 14),
  'gpt-5.2-codex': cached(1.75, 14),
  'gpt-5.3-codex': cached(1.75, 14),
  'gpt-5.4': cached(2.5, 15),
  'gpt-5.4-mini': cached(0.75, 4.5),
  'gpt-5.4-nano': cached(0.2, 1.25),
  'gpt-5.5': cached(5, 30),
  'gpt-5.6-luna': { ...cached(0.2, 1.2), cacheWrite: 0.25 },
  'gpt-5.6-sol': { ...cached(5, 30), cacheWrite: 6.25 },
  'gpt-5.6-terra': { ...cached(2, 12), cacheWrite: 2.5 },

  'gemini-2.5-pro': cached(1.25, 10),
  'gemini-2.5-flash': cached(0.3, 2.5),
  'gemini-2.5-flash-lite': cached(0.1, 0.4),
  'gemini-3-pro-preview': cached(2, 12),
  'gemini-3.1-pro-preview': cached(2, 12),
  'gemini-3-flash-preview': cached(0.5, 3),
  'gemini-3.5-flash': cached(1.5, 9),
};
