import { describe, expect, it } from 'vitest';
import type { ResultLine } from '../../../../src/providers/claude/lines.ts';
import { createUsageMeter } from '../../../../src/providers/claude/usage.ts';

const line = (fields: Partial<ResultLine>): ResultLine => ({
  type: 'result',
  subtype: 'success',
  is_error: false,
  ...fields,
});
const model = (costUSD: number | null, tokens = 1) => ({
  inputTokens: tokens,
  outputTokens: 2 * tokens,
  cacheReadInputTokens: 3 * tokens,
  cacheCreationInputTokens: 4 * tokens,
  costUSD,
});
const usageAfter = (fresh: boolean, ...lines: ResultLine[]) => {
  const meter = createUsageMeter(fresh);
  for (const one of lines) meter.sawResult(one);
  return meter.total();
};

describe('the usage of a claude run', () => {
  it('is unknown before anything was counted', () => {
    expect(createUsageMeter(true).total()).toBeNull();
  });

  it('is what all models used since the last result, also in a resumed session', () => {
    const models = { opus: model(0.1), haiku: model(0.2, 10) };
    const total = usageAfter(false, line({ total_cost_usd: 99, model_usage_since_last_result: models }));
    expect(total).toEqual({
      inputTokens: 11,
      outputTokens: 22,
      cacheReadTokens: 33,
      cacheWriteTokens: 44,
      costUsd: 0.3,
      costBasis: 'reported',
    });
  });

  it('is nothing when nothing was used', () => {
    expect(usageAfter(true, line({ model_usage_since_last_result: {} }))).toMatchObject({
      costUsd: 0,
      costBasis: 'reported',
    });
  });

  it('has no cost when one model has none', () => {
    const models = { opus: model(0.1), own: model(null) };
    expect(usageAfter(true, line({ model_usage_since_last_result: models }))).toMatchObject({
      inputTokens: 2,
      costUsd: null,
      costBasis: 'unknown',
    });
  });

  it("takes an older CLI's total only for a session the run began", () => {
    const old = line({ total_cost_usd: 0.5, usage: { input_tokens: 3 } });
    expect(usageAfter(true, old)).toMatchObject({ inputTokens: 3, costUsd: 0.5, costBasis: 'reported' });
    expect(usageAfter(false, old)).toMatchObject({ inputTokens: 3, costUsd: null, costBasis: 'unknown' });
  });

  it("takes the last of an older CLI's totals, which go on", () => {
    const total = usageAfter(true, line({ total_cost_usd: 0.1 }), line({ total_cost_usd: 0.4 }));
    expect(total?.costUsd).toBe(0.4);
  });

  it('counts each streamed call once, by its largest figures', () => {
    const meter = createUsageMeter(true);
    meter.sawCall('m1', { input_tokens: 10, output_tokens: 1 }, 'opus');
    meter.sawCall('m1', { output_tokens: 20 }, 'opus');
    meter.sawCall('m1', { input_tokens: 10, output_tokens: 1 }, 'opus');
    meter.sawCall('m2', { input_tokens: 5, output_tokens: 2 }, 'opus');
    expect(meter.total()).toMatchObject({
      inputTokens: 15,
      outputTokens: 22,
      costUsd: null,
      costBasis: 'unknown',
    });
  });

  it('replaces streamed calls by the result, and knows no cost for calls after it', () => {
    const meter = createUsageMeter(true);
    meter.sawCall('m1', { input_tokens: 10 }, 'opus');
    meter.sawResult(line({ model_usage_since_last_result: { opus: model(0.1) } }));
    expect(meter.total()).toMatchObject({ inputTokens: 1, costUsd: 0.1 });
    meter.sawCall('m2', { input_tokens: 10 }, 'opus');
    expect(meter.total()).toMatchObject({ inputTokens: 11, costUsd: null, costBasis: 'unknown' });
  });

  it('has tokens by model: streamed ones by their message, settled ones by the result', () => {
    const meter = createUsageMeter(true);
    meter.sawCall('m1', { input_tokens: 10 }, 'opus');
    meter.sawCall('m1', { output_tokens: 4 }, null);
    meter.sawCall('m2', { input_tokens: 7 }, 'haiku');
    expect(meter.byModel()).toMatchObject({
      opus: { inputTokens: 10, outputTokens: 4 },
      haiku: { inputTokens: 7 },
    });
    meter.sawResult(line({ model_usage_since_last_result: { opus: model(0.1) } }));
    meter.sawCall('m3', { input_tokens: 2 }, 'opus');
    expect(meter.byModel()).toMatchObject({ opus: { inputTokens: 3 } });
    expect(Object.keys(meter.byModel())).toEqual(['opus']);
  });
});
