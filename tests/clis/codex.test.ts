import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Job } from '../../src/protocol/job.ts';
import type { UsageRow } from '../../src/protocol/usage.ts';
import { eventually } from '../helpers/eventually.ts';
import { CODEX } from '../helpers/real-clis.ts';
import { sharedServer, startServer, type TestServer } from '../helpers/server.ts';

const PRICE = { input: 2, output: 8, cacheRead: 1 };

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());
const configOf = (at: OfflineModel) => {
  const { providers, ...rest } = CODEX.config(at);
  return { ...rest, providers: { ...providers, codex: { ...providers?.['codex'], quotaReserve: 0.2 } } };
};
const shared = sharedServer(() => ({
  env: { ...CODEX.env(model), BULLPEN_RETRY_BACKOFF_MS: '100', BULLPEN_AUTH_CIRCUIT_MS: '1' },
  config: { ...configOf(model), prices: { 'offline-model': PRICE } },
}));

const usageOf = ({ outcome }: Job) => outcome?.usage ?? expect.unreachable('it used nothing');

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

describe('one prompt through the whole system and the real codex', () => {
  it('answers, and continues the same thread in a second job with tokens and a cost of its own', async () => {
    const server = shared();
    const first = await server.run({ provider: 'codex', prompt: 'My name is Ada. [[reply: Hello Ada.]]' });
    expect(first).toMatchObject({ status: 'succeeded', outcome: { text: 'Hello Ada.', provider: 'codex' } });
    const { sessionId } = first.outcome ?? expect.unreachable();
    const second = await server.run({ provider: 'codex', prompt: 'Who am I? [[reply: Ada.]]', sessionId });
    expect(second).toMatchObject({ status: 'succeeded', outcome: { text: 'Ada.', sessionId } });
    expect(second.outcome?.nativeSessionId).toBe(first.outcome?.nativeSessionId);

    // codex counts for the whole thread.
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
    const report = await server.api('GET', '/v1/usage?by=model');
    const [row] = ((await report.json()) as { data: UsageRow[] }).data; // the documented answer
    expect(row).toMatchObject({
      key: 'offline-model',
      executions: 2,
      succeeded: 2,
      unknownCosts: 0,
      reportedUsd: 0,
    });
    expect(row?.estimatedUsd).toBeCloseTo(total, 9);
  });

  it('knows the end of a usage limit, and what is used of it, from the file of its thread', async () => {
    const server = shared();
    const wish = { provider: 'codex', onQuota: 'fail' };
    const prompt = 'Hello [[error: 429 limit=primary resets-in=7200]]';
    const { outcome } = await server.run({ ...wish, prompt });
    const { code, resetsAt } = outcome?.error ?? expect.unreachable('it succeeded');
    const inMs = Date.parse(resetsAt ?? '') - Date.now();
    expect([code, inMs > 7_000_000, inMs <= 7_201_000]).toEqual(['execution.quota', true, true]);
    expect(await (await server.api('POST', '/v1/providers/codex/resume')).json()).toEqual({ opened: 1 });

    await server.run({ ...wish, prompt: '[[used: 85% resets-in=7200]] [[reply: Most is used.]]' });
    const low = await server.run({ ...wish, prompt: 'Low [[reply: low]]', priority: -1 }, 0);
    const next = await server.run({ ...wish, prompt: 'Next [[reply: next]]' });
    expect([next.status, (await server.job(low.id)).attempts]).toEqual(['succeeded', 0]);
    expect(await (await server.api('POST', '/v1/providers/codex/resume')).json()).toEqual({ opened: 1 });
    expect((await server.finished(low.id)).status).toBe('succeeded');
  });

  it('asks a prompt of a thread once, also when the vendor turned it away at first', async () => {
    const server = shared();
    const first = await server.run({ provider: 'codex', prompt: 'Hello [[reply: hi]]' });
    const job = await server.run({
      provider: 'codex',
      prompt: 'turned away [[error: 503 times=1 key=codex]]',
      sessionId: first.outcome?.sessionId ?? expect.unreachable(),
      retry: { maxAttempts: 2 },
    });
    expect(job).toMatchObject({ status: 'succeeded', attempts: 2 });
    const said = model.requests.map(({ lastUserText }) => lastUserText?.slice(0, 11));
    expect(said.slice(-2)).toEqual(['turned away', 'Continue wh']);
  });

  it('is stopped when it begins a turn too many', async () => {
    const again = CODEX.tool('echo again');
    const prompt = `${again} ${again} ${again} ${again} [[reply: over]]`;
    const request = { provider: 'codex', prompt, maxTurns: 2, permissionMode: 'fullAccess' };
    const job = await shared().run(request);
    expect(job).toMatchObject({ status: 'failed', outcome: { error: { code: 'execution.max_turns' } } });
  });

  it('ends at once when its key is refused', async () => {
    const job = await shared().run({ provider: 'codex', prompt: 'Hello [[error: 401]]' });
    expect(job).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'auth.required', retryable: false } },
    });
  });

  it('refuses what it cannot honour, by name', async () => {
    const request = { provider: 'codex', prompt: 'x', maxCostUsd: 1 };
    const response = await shared().api('POST', '/v1/jobs', request);
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      code: 'provider.unsupported_option',
      errors: [{ path: '/maxCostUsd' }],
    });
  });

  it('gives the same answer, cost and exit from an idle process as from a new one', async () => {
    const env = { ...CODEX.env(model), BULLPEN_WARM_PROCESSES: '1' };
    const server = await startServer({ env, config: CODEX.config(model) });
    const run = async () => {
      const prompt = '[[reply: The parser is in src/parse.ts.]]';
      const { id, outcome } = await server.run({ provider: 'codex', prompt });
      const headers = { accept: 'application/x-ndjson' };
      const events = await (await server.api('GET', `/v1/jobs/${id}/events`, undefined, headers)).text();
      const { status, text, exit, turns, usage, error } = outcome ?? expect.unreachable();
      return {
        start: /"start":"(\w+)"/.exec(events)?.[1],
        answer: { status, text, exit, turns, usage, error },
      };
    };
    const first = await run();
    await eventually(
      async () => {
        const processes = await server.api('GET', '/v1/processes');
        return (await processes.text()).includes('"state":"idle"');
      },
      { timeoutMs: 60_000 },
    );
    const second = await run();
    expect([first.start, second.start]).toEqual(['cold', 'warm']);
    expect(first.answer.status).toBe('succeeded');
    expect(second.answer).toEqual(first.answer);
  });
});
