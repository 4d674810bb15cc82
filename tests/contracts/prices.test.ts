/** The price table says what the real claude says of the models it knows. */
import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../scripts/offline-model/resolved-prompt.ts';
import { makeClaudeHome, runClaude } from '../../scripts/offline-model/run-claude.ts';
import { startOfflineModel } from '../../scripts/offline-model/server.ts';
import { createClaudeTranslator } from '../../src/providers/claude/translator.ts';
import { PRICE_TABLE } from '../../src/usage/price-table.ts';
import { createPricing } from '../../src/usage/pricing.ts';

const MODELS = Object.keys(PRICE_TABLE).filter((model) => model.startsWith('claude-'));
const pricing = createPricing({});

describe.concurrent('the price table', () => {
  it.each(MODELS)('has what claude reports for %s', async (model) => {
    await using offline = await startOfflineModel();
    await using home = await makeClaudeHome();
    const prompt = `${'word '.repeat(4000)} [[reply: ${'answer '.repeat(200)}]]`;
    const run = await runClaude({ baseUrl: offline.url, home, prompt, args: ['--model', model] });
    const translator = createClaudeTranslator(resolvedPrompt({ model }));
    for (const line of run.lines) translator.line(line);
    const { usage, byModel } = translator.progress;
    expect(usage).toMatchObject({ costBasis: 'reported', costUsd: expect.any(Number) });
    const asIfKilled = { ...(usage ?? expect.unreachable()), costUsd: null, costBasis: 'unknown' as const };
    const estimated = pricing.priced({ usage: asIfKilled, byModel });
    expect(estimated?.costBasis).toBe('estimated');
    expect(estimated?.costUsd).toBeCloseTo(usage?.costUsd ?? 0, 9);
  });
});
