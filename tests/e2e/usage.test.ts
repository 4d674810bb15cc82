/**
 * What runs used and cost, through the whole system and the real CLIs: also resumed ones, and ones
 * cut short.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Job } from '../../src/protocol/job.ts';
import type { UsageRow } from '../../src/protocol/usage.ts';
import { eventually } from '../helpers/eventually.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { CLAUDE, CODEX } from './real-clis.ts';

const SONNET = 'claude-sonnet-4-5';
const PRICE = { input: 2, output: 8, cacheRead: 1 };

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

const start = (): Promise<TestServer> =>
  startServer({
    env: { ...CLAUDE.env(model), ...CODEX.env(model) },
    config: { ...CODEX.config(model), prices: { 'offline-model': PRICE } },
  });

const usageOf = ({ outcome }: Job) => outcome?.usage ?? expect.unreachable('it used nothing');

async function report(server: TestServer, query: string): Promise<readonly UsageRow[]> {
  const response = await server.api('GET', `/v1/usage?${query}`);
  expect(response.status).toBe(200);
  return ((await response.json()) as { data: UsageRow[] }).data; // the documented answer
}

/** The thread's own counts, as codex wrote them. */
async function threadTokens(server: TestServer, { id }: Job): Promise<Record<string, number>> {
  const path = `/v1/jobs/${id}/events?raw=true`;
  const events = await (await server.api('GET', path, undefined, { accept: 'application/x-ndjson' })).text();
  const line = events
    .split('\n')
    .filter((event) => event !== '')
    .map((event) => (JSON.parse(event) as { raw: string | null }).raw)
    .find((raw) => raw?.includes('"turn.completed"'));
  return (JSON.parse(line ?? expect.unreachable()) as { usage: Record<string, number> }).usage;
}

describe('what a run used and cost', () => {
  it('is a resumed codex run’s own, though codex counts for the whole thread, priced by the settings', async () => {
    const server = await start();
    const first = await server.run({ provider: 'codex', prompt: 'My name is Ada. [[reply: Hello Ada.]]' });
    const { sessionId } = first.outcome ?? expect.unreachable();
    const second = await server.run({ provider: 'codex', prompt: 'Who am I? [[reply: Ada.]]', sessionId });
    const [before, after] = [await threadTokens(server, first), await threadTokens(server, second)];
    const own = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0);
    expect(own('output_tokens')).toBeGreaterThan(0);
    const cached = own('cached_input_tokens');
    const input = own('input_tokens') - cached;
    expect(usageOf(second)).toMatchObject({
      ...{ inputTokens: input, outputTokens: own('output_tokens'), cacheReadTokens: cached },
      costBasis: 'estimated',
    });
    const costUsd =
      (input * PRICE.input + own('output_tokens') * PRICE.output + cached * PRICE.cacheRead) / 1e6;
    expect(usageOf(second).costUsd).toBeCloseTo(costUsd, 9);
    expect(second.outcome?.model).toBe('offline-model');

    const total = (usageOf(first).costUsd ?? 0) + costUsd;
    const [row] = await report(server, 'by=model');
    expect(row).toMatchObject({
      key: 'offline-model',
      executions: 2,
      succeeded: 2,
      unknownCosts: 0,
      reportedUsd: 0,
    });
    expect(row?.estimatedUsd).toBeCloseTo(total, 9);
  });

  it('is as claude reports it, and estimated where claude was ended before it could', async () => {
    const server = await start();
    const whole = await server.run({ prompt: 'Hi [[reply: Hello.]]', model: SONNET, tags: ['whole'] });
    const tool = CLAUDE.tool('sleep 60');
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
    const server = await start();
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
