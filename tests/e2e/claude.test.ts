import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import { startServer } from '../helpers/server.ts';

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

const offline = () => ({ env: { ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'offline' } });

describe('one prompt through the whole system and the real claude', () => {
  it('answers, with its text, usage and cost', async () => {
    const server = await startServer(offline());
    const job = await server.run({ prompt: 'Say it. [[reply: it]]' });
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1, outcome: { text: 'it', error: null } });
    expect(job.outcome?.usage).toMatchObject({ costBasis: 'reported' });
  });
});
