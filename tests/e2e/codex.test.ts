import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { CODEX } from './real-clis.ts';

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

const start = (): Promise<TestServer> => startServer({ env: CODEX.env(model), config: CODEX.config(model) });

describe('one prompt through the whole system and the real codex', () => {
  it('answers, and continues the same thread in a second job with tokens of its own', async () => {
    const server = await start();
    const first = await server.run({ provider: 'codex', prompt: 'My name is Ada. [[reply: Hello Ada.]]' });
    expect(first).toMatchObject({ status: 'succeeded', outcome: { text: 'Hello Ada.', provider: 'codex' } });
    const { sessionId } = first.outcome ?? expect.unreachable();
    const second = await server.run({ provider: 'codex', prompt: 'Who am I? [[reply: Ada.]]', sessionId });
    expect(second).toMatchObject({ status: 'succeeded', outcome: { text: 'Ada.', sessionId } });
    expect(second.outcome?.nativeSessionId).toBe(first.outcome?.nativeSessionId);
  });

  it('asks a prompt of a thread once, also when the vendor turned it away at first', async () => {
    const server = await startServer({
      env: { ...CODEX.env(model), BULLPEN_RETRY_BACKOFF_MS: '100' },
      config: CODEX.config(model),
    });
    const first = await server.run({ provider: 'codex', prompt: 'Hello [[reply: hi]]' });
    const job = await server.run({
      provider: 'codex',
      prompt: 'turned away [[error: 503 times=1 key=codex]]',
      sessionId: first.outcome?.sessionId ?? expect.unreachable(),
      retry: { maxAttempts: 2 },
    });
    expect(job).toMatchObject({ status: 'succeeded', attempts: 2 });
    const said = model.requests.map(({ lastUserText }) => lastUserText?.slice(0, 11));
    expect(said.slice(-2)).toEqual(['turned away', 'Continue fr']);
  });

  it('is stopped when it begins a turn too many', async () => {
    const server = await start();
    const again = CODEX.tool('echo again');
    const prompt = `${again} ${again} ${again} ${again} [[reply: over]]`;
    const job = await server.run({ provider: 'codex', prompt, maxTurns: 2, permissionMode: 'fullAccess' });
    expect(job).toMatchObject({ status: 'failed', outcome: { error: { code: 'execution.max_turns' } } });
  });

  it('ends at once when its key is refused', async () => {
    const server = await startServer({
      env: { ...CODEX.env(model), CODEX_API_KEY: 'wrong-key' },
      config: CODEX.config(model),
    });
    const job = await server.run({ provider: 'codex', prompt: 'Hello' });
    expect(job).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'auth.required', retryable: false } },
    });
  });

  it('refuses what it cannot honour, by name', async () => {
    const server = await start();
    const response = await server.api('POST', '/v1/jobs', { provider: 'codex', prompt: 'x', maxCostUsd: 1 });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      code: 'provider.unsupported_option',
      errors: [{ path: '/maxCostUsd' }],
    });
  });
});
