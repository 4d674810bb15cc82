/** The price table says what the real claude says of the models it knows. */
import { expect, it } from 'vitest';
import { makeClaudeHome } from '../../scripts/offline-model/run-claude.ts';
import { startOfflineModel } from '../../scripts/offline-model/server.ts';
import { talkToClaude } from '../../scripts/offline-model/talk-claude.ts';
import { PRICE_TABLE } from '../../src/usage/price-table.ts';
import { createPricing } from '../../src/usage/pricing.ts';

const MODELS = Object.keys(PRICE_TABLE).filter((model) => model.startsWith('claude-'));
/** claude runs another one when it is asked for this one. */
const REPLACED = 'claude-opus-4-1';

/** What claude counts of one model. */
interface Counted {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadInputTokens: number;
  readonly cacheCreationInputTokens: number;
  readonly costUSD: number;
}

/** One process runs as many as it has time for on a busy machine. */
const AT_ONCE = 6;
const parts = Array.from({ length: Math.ceil(MODELS.length / AT_ONCE) }, (_, part) =>
  MODELS.slice(part * AT_ONCE, (part + 1) * AT_ONCE),
);

it.each(parts)('the price table has what claude reports for %s, %s, %s, %s, %s, %s', async (...models) => {
  await using offline = await startOfflineModel();
  await using home = await makeClaudeHome();
  await using talk = talkToClaude({
    ...{ baseUrl: offline.url, home },
    args: ['-p', '--output-format', 'stream-json', '--input-format', 'stream-json', '--verbose'],
  });
  const write = (line: object): void => talk.write(`${JSON.stringify(line)}\n`);
  const content = `${'word '.repeat(400)} [[reply: ${'answer '.repeat(200)}]]`;
  let result = '';
  for (const model of models) {
    write({ type: 'control_request', request_id: model, request: { subtype: 'set_model', model } });
    write({ type: 'user', message: { role: 'user', content } });
    result = await talk.until((line) => line.includes('"type":"result"'));
  }
  const { modelUsage } = JSON.parse(result) as { modelUsage: Record<string, Counted> }; // as in its fixtures
  expect(Object.keys(modelUsage)).toEqual(
    expect.arrayContaining(models.filter((model) => model !== REPLACED)),
  );
  const pricing = createPricing({});
  for (const [model, { costUSD, ...counted }] of Object.entries(modelUsage)) {
    const tokens = {
      inputTokens: counted.inputTokens,
      outputTokens: counted.outputTokens,
      cacheReadTokens: counted.cacheReadInputTokens,
      cacheWriteTokens: counted.cacheCreationInputTokens,
    };
    const asIfKilled = { ...tokens, costUsd: null, costBasis: 'unknown' as const };
    const estimated = pricing.priced({ usage: asIfKilled, byModel: { [model]: tokens } });
    expect(estimated?.costBasis, model).toBe('estimated');
    expect(estimated?.costUsd, model).toBeCloseTo(costUSD, 9);
  }
});
