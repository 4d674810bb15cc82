/** Idle processes of the real claude: of the pool, and of sessions. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Job } from '../../src/protocol/job.ts';
import type { CliProcess } from '../../src/protocol/server-info.ts';
import { eventually } from '../helpers/eventually.ts';
import { commandLine, processesWithMarker } from '../helpers/proc.ts';
import { CLAUDE } from '../helpers/real-clis.ts';
import { sharedServer } from '../helpers/server.ts';

const PATIENCE = { timeoutMs: 60_000 };

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());
const shared = sharedServer(() => ({
  env: { ...CLAUDE.env(model), BULLPEN_WARM_PROCESSES: '2', BULLPEN_CONCURRENCY: '1' },
  config: { providers: { custom: { own: { binary: 'cat', warmStart: true } } } },
}));

interface Ran extends Job {
  readonly start: string;
  readonly pid: number;
}

async function run(request: Record<string, unknown> & { prompt: string }): Promise<Ran> {
  const server = shared();
  const job = await server.run(request, 60);
  const response = await server.api('GET', `/v1/jobs/${job.id}/events`, undefined, {
    accept: 'application/x-ndjson',
  });
  const found = /"kind":"execution\.started".*"pid":(\d+).*"start":"(\w+)"/.exec(await response.text());
  expect(found, JSON.stringify(job.outcome)).not.toBeNull();
  return { ...job, pid: Number(found?.[1]), start: found?.[2] ?? '' };
}

async function listed(state: CliProcess['state']): Promise<readonly CliProcess[]> {
  const answer = await (await shared().api('GET', '/v1/processes')).json();
  const { data } = answer as { data: readonly CliProcess[] }; // the documented answer
  return data.filter((one) => one.state === state);
}

/** Waits for an idle process of a provider that no session has. */
const idle = (provider: string): Promise<unknown> =>
  eventually(async () => {
    return (await listed('idle')).some((one) => one.provider === provider && one.sessionId === null);
  }, PATIENCE);

/** Command lines of all processes with the node's marker. */
function processes(): (string | null)[] {
  const nodeId = readFileSync(join(shared().home, 'node-id'), 'utf8').trim();
  return processesWithMarker(`BULLPEN_EXECUTION_ID=${nodeId}/`).map(commandLine);
}

/** An answer without its ids and times. */
const answer = ({ outcome }: Job) => ({
  status: outcome?.status,
  text: outcome?.text,
  exit: outcome?.exit,
  turns: outcome?.turns,
  usage: outcome?.usage,
  error: outcome?.error,
});

describe('an idle process', () => {
  it('of claude gives the same answer, cost and exit as a new process', async () => {
    const prompt = '[[reply: The parser is in src/parse.ts.]]';
    const first = await run({ prompt });
    await idle('claude');
    const second = await run({ prompt });
    expect([first.start, second.start]).toEqual(['cold', 'warm']);
    expect(first.status).toBe('succeeded');
    expect(answer(second)).toEqual(answer(first));
    expect(second.pid).not.toBe(first.pid);
    const metrics = await (await shared().api('GET', '/metrics')).text();
    expect(metrics).toMatch(/bullpen_execution_starts_total\{start="warm"\} [1-9]/);
  });

  it('of a custom command is used when the settings allow it', async () => {
    expect(await run({ provider: 'own', prompt: 'one' })).toMatchObject({ outcome: { text: 'one' } });
    await idle('own');
    expect(await run({ provider: 'own', prompt: 'two' })).toMatchObject({
      start: 'warm',
      outcome: { text: 'two' },
    });
  });

  it('asks the Messages API as well', async () => {
    const ask = { provider: 'anthropic-sdk', prompt: 'Hi', model: 'claude-haiku-4-5' };
    const first = await run(ask);
    await idle('anthropic-sdk');
    const second = await run(ask);
    expect(second).toMatchObject({ start: 'warm', status: 'succeeded' });
    expect(answer(second)).toEqual(answer(first));
  });
});

describe('the process of a claude session', () => {
  it('runs turn after turn, each with the conversation so far and its own cost, and goes on after its death', async () => {
    const first = await run({ prompt: '[[reply: one]]' });
    const sessionId = first.outcome?.sessionId;
    const resumed = await run({ prompt: '[[reply: two]]', sessionId });
    expect(await listed('running')).toEqual([]);
    const waiting = await listed('idle');
    expect(waiting.filter((one) => one.sessionId === sessionId)).toMatchObject([
      { provider: 'claude', pid: resumed.pid, sessionId, memoryBytes: expect.any(Number) },
    ]);
    const turns: Ran[] = [];
    for (const text of ['three', 'four']) turns.push(await run({ prompt: `[[reply: ${text}]]`, sessionId }));
    expect(resumed.start).toBe('cold');
    for (const [index, turn] of turns.entries()) {
      expect(turn).toMatchObject({ start: 'session', pid: resumed.pid, status: 'succeeded' });
      expect(turn.outcome).toMatchObject({ text: ['three', 'four'][index], sessionId, turns: 1 });
      expect(turn.outcome?.exit).toEqual({ code: null, signal: null });
      const usage = turn.outcome?.usage ?? expect.unreachable();
      const { inputTokens, outputTokens } = usage;
      expect(outputTokens).toBeLessThan(5);
      expect(usage.costBasis).toBe('reported');
      // 4 and 20 USD per million of its own tokens, not of the whole process.
      expect(usage.costUsd).toBeCloseTo((inputTokens * 4 + outputTokens * 20) / 1e6, 9);
    }
    const asked = [first, resumed, ...turns].map(({ outcome }) => outcome?.usage?.inputTokens ?? 0);
    expect(asked, 'each turn sends all that was said before').toEqual([...asked].sort((a, b) => a - b));
    expect(new Set(asked).size).toBe(asked.length);

    process.kill(resumed.pid, 'SIGKILL');
    const next = await run({ prompt: '[[reply: five]]', sessionId });
    expect(next).toMatchObject({ start: 'cold', outcome: { text: 'five', sessionId } });
  });
});

it('nothing is left of what waits when the server is killed', async () => {
  await idle('claude');
  const waiting = await listed('idle');
  expect(waiting.some(({ sessionId }) => sessionId !== null)).toBe(true);
  expect(processes().length).toBeGreaterThanOrEqual(waiting.length);
  await shared().kill('SIGKILL');
  await eventually(() => expect(processes()).toEqual([]), PATIENCE);
});
