/** What runs used and cost, through the whole system and the real claude: also one cut short. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Job } from '../../src/protocol/job.ts';
import type { UsageRow } from '../../src/protocol/usage.ts';
import { eventually } from '../helpers/eventually.ts';
import { CLAUDE } from '../helpers/real-clis.ts';
import { sharedServer, type TestServer } from '../helpers/server.ts';

const SONNET = 'claude-sonnet-4-5';

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

const shared = sharedServer(() => ({ env: CLAUDE.env(model) }));

const usageOf = ({ outcome }: Job) => outcome?.usage ?? expect.unreachable('it used nothing');

async function report(server: TestServer, query: string): Promise<readonly UsageRow[]> {
  const response = await server.api('GET', `/v1/usage?${query}`);
  expect(response.status).toBe(200);
  return ((await response.json()) as { data: UsageRow[] }).data; // the documented answer
}

describe('what a run used and cost', () => {
  it('is as claude reports it, and estimated where claude was ended before it could', async () => {
    const server = shared();
    const whole = await server.run({ prompt: 'Hi [[reply: Hello.]]', model: SONNET, tags: ['whole'] });
    const tool = CLAUDE.tool('tail -f /dev/null');
    const prompt = `[[say: I will wait.]] ${tool} [[reply: over]]`;
    const { id } = await server.run({ prompt, model: SONNET, allowedTools: ['Bash'], tags: ['cut'] }, 0);
    await eventually(
      async () => {
        const path = `/v1/jobs/${id}/events?kinds=tool.started`;
        const { status, body } = await server.api('GET', path, undefined, { accept: 'application/x-ndjson' });
        expect(status).toBe(200);
        for await (const chunk of body ?? []) if (chunk.length > 0) return;
      },
      { timeoutMs: 45_000 },
    );
    await server.api('POST', `/v1/jobs/${id}/cancel`, { force: true });
    const cut = await server.finished(id);
    expect(cut).toMatchObject({ status: 'cancelled', outcome: { model: SONNET } });
    expect(usageOf(whole).costBasis).toBe('reported');
    expect(usageOf(cut)).toMatchObject({ costBasis: 'estimated' });
    const { inputTokens, outputTokens, costUsd } = usageOf(cut);
    expect(costUsd).toBeCloseTo((inputTokens * 3 + outputTokens * 15) / 1e6, 9);
    expect(costUsd).toBeGreaterThan(0);

    const rows = await report(server, 'by=tag');
    expect(rows).toMatchObject([
      { key: 'cut', executions: 1, succeeded: 0, estimatedUsd: costUsd, reportedUsd: 0 },
      { key: 'whole', executions: 1, succeeded: 1, estimatedUsd: 0, reportedUsd: usageOf(whole).costUsd },
    ]);
    expect((await server.api('DELETE', `/v1/jobs/${id}`)).status).toBe(204);
    const [today] = await report(server, `by=day&from=${new Date(Date.now() - 3_600_000).toISOString()}`);
    expect(today).toMatchObject({ executions: 2, succeeded: 1, unknownCosts: 0 });
    expect(await report(server, `by=caller&to=${new Date(0).toISOString()}`)).toEqual([]);
  });

  it('ends a run of the Messages API that costs more than it may', async () => {
    const server = shared();
    const request = { provider: 'anthropic-sdk', model: SONNET, prompt: 'Hi [[reply: Hello.]]' };
    const job = await server.run({ ...request, maxCostUsd: 0.000_001 });
    expect(job).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'execution.budget', retryable: false }, usage: { costBasis: 'estimated' } },
    });
    expect(await server.run({ ...request, maxCostUsd: 1 })).toMatchObject({ status: 'succeeded' });
    const unpriced = await server.api('POST', '/v1/jobs', {
      ...request,
      model: 'claude-unknown',
      maxCostUsd: 1,
    });
    expect(unpriced.status).toBe(422);
    expect(await unpriced.json()).toMatchObject({
      code: 'provider.unsupported_option',
      errors: [{ path: '/maxCostUsd', message: 'there is no price for claude-unknown (prices)' }],
    });
  });
});
