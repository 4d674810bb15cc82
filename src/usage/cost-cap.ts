import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Unsupported } from '../providers/built-in.ts';
import type { Provider } from '../providers/provider.ts';
import type { Pricing } from './pricing.ts';

/** `maxCostUsd`, when it is ours to keep and nobody could say what the run costs. */
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
