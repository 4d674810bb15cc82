/** The Messages API as a provider of a whole server, over HTTP. */
import { describe, expect, it } from 'vitest';
import { startOfflineModel } from '../../scripts/offline-model/server.ts';
import { eventually } from '../helpers/eventually.ts';
import { startServer } from '../helpers/server.ts';

describe('a server with an API key', () => {
  it('answers, streams, cancels and fails jobs of anthropic-sdk like those of any CLI', async () => {
    await using model = await startOfflineModel();
    const server = await startServer({
      env: { ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'a-key' },
      config: { providers: { 'anthropic-sdk': { maxRetries: 0, model: 'claude-haiku-4-5' } } },
    });
    const ask = { provider: 'anthropic-sdk' };

    const answered = await server.run({ ...ask, prompt: '[[reply: The parser is in src/parse.ts.]]' });
    expect(answered.outcome).toMatchObject({
      status: 'succeeded',
      provider: 'anthropic-sdk',
      text: 'The parser is in src/parse.ts.',
      turns: 1,
      nativeSessionId: null,
      // The answer names no cost: 11 and 8 tokens at 1 and 5 USD a million.
      usage: { inputTokens: 11, outputTokens: 8, costUsd: 0.000051, costBasis: 'estimated' },
      error: null,
    });
    expect(model.requests).toMatchObject([{ model: 'claude-haiku-4-5' }]);
    const events = await server.api('GET', `/v1/jobs/${answered.id}/events`, undefined, {
      accept: 'application/x-ndjson',
    });
    const kinds = (await events.text())
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { kind: string }).kind); // the documented answer
    expect(kinds).toContain('text.delta');

    const failed = await server.run({ ...ask, prompt: '[[error: 400]]' });
    expect(failed.outcome?.error?.code).toBe('execution.invalid_request');

    const hanging = await server.run({ ...ask, prompt: '[[hang]]' }, 0);
    await model.waitForRequests(3);
    expect((await server.api('POST', `/v1/jobs/${hanging.id}/cancel`)).status).toBe(202);
    const cancelled = await server.finished(hanging.id);
    expect(cancelled.outcome).toMatchObject({ status: 'cancelled', exit: { signal: 'SIGTERM' } });

    const refused = await server.api('POST', '/v1/jobs', { ...ask, prompt: 'Hi', allowedTools: ['Read'] });
    expect(refused.status).toBe(422);

    const version = await eventually(async () => {
      const { data } = (await (await server.api('GET', '/v1/providers')).json()) as {
        data: { name: string; version: string | null }[];
      }; // the documented answer
      return data.find(({ name }) => name === 'anthropic-sdk')?.version ?? null;
    });
    expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});
