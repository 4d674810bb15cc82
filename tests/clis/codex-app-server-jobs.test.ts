/** Jobs of a whole server with the real codex, by app-server. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Job } from '../../src/protocol/job.ts';
import { CODEX_APP_SERVER } from '../helpers/real-clis.ts';
import { sharedServer } from '../helpers/server.ts';

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());
const shared = sharedServer(() => ({
  env: {
    ...CODEX_APP_SERVER.env(model),
    BULLPEN_RETRY_BACKOFF_MS: '100',
    BULLPEN_AUTH_CIRCUIT_MS: '1',
    BULLPEN_WARM_PROCESSES: '2',
  },
  config: { ...CODEX_APP_SERVER.config(model), prices: { 'offline-model': { input: 2, output: 8 } } },
}));

const outcomeOf = ({ outcome }: Job) => outcome ?? expect.unreachable('it has no outcome');

async function eventsOf({ id }: Job): Promise<{ kind: string; start?: string }[]> {
  const headers = { accept: 'application/x-ndjson' };
  const text = await (await shared().api('GET', `/v1/jobs/${id}/events`, undefined, headers)).text();
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { kind: string }); // the documented events
}

const startOf = async (job: Job): Promise<string | undefined> =>
  (await eventsOf(job)).find(({ kind }) => kind === 'execution.started')?.start;

describe('a job of codex by app-server', () => {
  it('answers in pieces, and its session goes on in the process of its last turn', async () => {
    const server = shared();
    const first = await server.run({ provider: 'codex', prompt: 'I am Ada. [[reply: Hello Ada.]]' });
    expect(first).toMatchObject({ status: 'succeeded', outcome: { text: 'Hello Ada.', exit: { code: 0 } } });
    const kinds = (await eventsOf(first)).map(({ kind }) => kind);
    expect(kinds).toContain('text.delta');
    expect(kinds).not.toContain('raw');

    const { sessionId } = outcomeOf(first);
    const turn = (prompt: string) => server.run({ provider: 'codex', prompt, sessionId });
    const second = await turn('Who am I? [[reply: Ada.]]');
    const third = await turn('Again? [[reply: Ada, still.]]');
    expect([second, third].map((job) => outcomeOf(job).text)).toEqual(['Ada.', 'Ada, still.']);
    expect(await startOf(third)).toBe('session');
    expect(model.requests.at(-1)?.userTexts).toHaveLength(3);
    expect(new Set([first, second, third].map((job) => outcomeOf(job).nativeSessionId)).size).toBe(1);
  });

  it('has the tokens and the cost of its own turn', async () => {
    const server = shared();
    const first = await server.run({ provider: 'codex', prompt: 'One [[reply: one]]' });
    const { sessionId } = outcomeOf(first);
    const second = await server.run({ provider: 'codex', prompt: 'Two [[reply: two]]', sessionId });
    const usage = outcomeOf(second).usage ?? expect.unreachable();
    expect(usage).toMatchObject({ outputTokens: 1, costBasis: 'estimated' });
    expect(usage.costUsd).toBeCloseTo((usage.inputTokens * 2 + usage.outputTokens * 8) / 1e6, 9);
    expect(outcomeOf(second).model).toBe('offline-model');
  });

  it('gives structured output, and takes an effort and instructions', async () => {
    const outputSchema = {
      type: 'object',
      properties: { answer: { type: 'string' } },
      required: ['answer'],
      additionalProperties: false,
    };
    const job = await shared().run({
      provider: 'codex',
      prompt: 'Answer.',
      outputSchema,
      effort: 'low',
      appendSystemPrompt: 'Be brief.',
    });
    expect(outcomeOf(job).structured).toMatchObject({ answer: expect.any(String) });
  });

  it('ends with the reset of a usage limit that its own messages report', async () => {
    const server = shared();
    const prompt = 'Hello [[error: 429 limit=primary resets-in=7200]]';
    const { error } = outcomeOf(await server.run({ provider: 'codex', onQuota: 'fail', prompt }));
    const inMs = Date.parse(error?.resetsAt ?? '') - Date.now();
    expect([error?.code, inMs > 7_000_000, inMs <= 7_201_000]).toEqual(['execution.quota', true, true]);
    await server.api('POST', '/v1/providers/codex/resume');
  });

  it('asks a prompt of a thread once, also when the vendor turned it away at first', async () => {
    const server = shared();
    const first = await server.run({ provider: 'codex', prompt: 'Hello [[reply: hi]]' });
    const job = await server.run({
      provider: 'codex',
      prompt: 'turned away [[error: 503 times=1 key=app-server]]',
      sessionId: outcomeOf(first).sessionId ?? expect.unreachable(),
      retry: { maxAttempts: 2 },
    });
    expect(job).toMatchObject({ status: 'succeeded', attempts: 2 });
    const said = model.requests.map(({ lastUserText }) => lastUserText?.slice(0, 11));
    expect(said.slice(-2)).toEqual(['turned away', 'Continue wh']);
  });

  it('is stopped at its caps of turns and cost', async () => {
    const again = CODEX_APP_SERVER.tool('echo again');
    const prompt = `${again} ${again} ${again} ${again} [[reply: over]]`;
    const request = { provider: 'codex', prompt, permissionMode: 'fullAccess' };
    const turns = await shared().run({ ...request, maxTurns: 2 });
    expect(outcomeOf(turns).error?.code).toBe('execution.max_turns');
    const cost = await shared().run({ ...request, maxCostUsd: 0.000_001 });
    expect(outcomeOf(cost).error?.code).toBe('execution.budget');
  });

  it('ends at once when its key is refused', async () => {
    const job = await shared().run({ provider: 'codex', prompt: 'Hello [[error: 401]]' });
    expect(outcomeOf(job).error).toMatchObject({ code: 'auth.required', retryable: false });
  });

  it('writes nothing outside its permissions, and nothing is asked where no person is', async () => {
    const server = shared();
    const call = { cmd: 'touch escaped', sandbox_permissions: 'require_escalated', justification: 'x' };
    const prompt = `[[tool: exec_command ${JSON.stringify(call)}]] [[reply: over]]`;
    expect(await server.run({ provider: 'codex', prompt })).toMatchObject({ status: 'succeeded' });
    expect(existsSync(join(server.workspace, 'escaped'))).toBe(false);
  });
});
