/** Idle processes of the real CLIs: of the pool, and of sessions. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { ExecutionsAnswer } from '../../src/client/answers.ts';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { commandLine, processesWithMarker } from '../helpers/proc.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { CLAUDE, CODEX, type RealCli } from './real-clis.ts';

const PATIENCE = { timeoutMs: 30_000 };
const WARM = { BULLPEN_WARM_PROCESSES: '4', BULLPEN_CONCURRENCY: '2' };

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

interface Ran extends Job {
  readonly start: string;
  readonly pid: number;
}

async function open(cli: RealCli, env: Readonly<Record<string, string>> = {}) {
  const server = await startServer({
    env: { ...cli.env(model), ...WARM, ...env },
    config: cli.config(model),
  });
  const nodeId = readFileSync(join(server.home, 'node-id'), 'utf8').trim();
  /** Pids of all processes with the node's marker. */
  const processes = (): number[] => processesWithMarker(`BULLPEN_EXECUTION_ID=${nodeId}/`);
  const run = (request: Record<string, unknown> & { prompt: string }) =>
    server.run({ provider: cli.name, ...request }).then((job) => started(server, job));
  return { server, processes, run };
}

async function started(server: TestServer, job: Job): Promise<Ran> {
  const response = await server.api('GET', `/v1/jobs/${job.id}/events`, undefined, {
    accept: 'application/x-ndjson',
  });
  const found = /"kind":"execution\.started".*"pid":(\d+).*"start":"(\w+)"/.exec(await response.text());
  expect(found, JSON.stringify(job.outcome)).not.toBeNull();
  return { ...job, pid: Number(found?.[1]), start: found?.[2] ?? '' };
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

describe('an idle process of a real CLI', () => {
  it.each([['claude', CLAUDE] as const, ['codex', CODEX] as const])(
    'of %s gives the same answer, cost and exit as a new process',
    async (_name, cli) => {
      const prompt = '[[reply: The parser is in src/parse.ts.]]';
      const without = await open(cli, { BULLPEN_WARM_PROCESSES: '0' });
      const cold = await without.run({ prompt });
      expect(cold).toMatchObject({ start: 'cold', status: 'succeeded' });
      const { run, processes } = await open(cli);
      const first = await run({ prompt });
      await eventually(() => expect(processes().length).toBeGreaterThan(0), PATIENCE);
      const second = await run({ prompt });
      expect(second.start).toBe('warm');
      for (const one of [first, second]) expect(answer(one)).toEqual(answer(cold));
      expect(second.pid).not.toBe(first.pid);
    },
  );

  it('of a custom command is used when the settings allow it', async () => {
    const own: RealCli = {
      ...CLAUDE,
      name: 'own',
      config: () => ({ providers: { custom: { own: { binary: 'cat', warmStart: true } } } }),
    };
    const { run, processes } = await open(own);
    expect(await run({ prompt: 'one' })).toMatchObject({
      start: expect.any(String),
      outcome: { text: 'one' },
    });
    await eventually(() => expect(processes()).toHaveLength(1), PATIENCE);
    expect(await run({ prompt: 'two' })).toMatchObject({ start: 'warm', outcome: { text: 'two' } });
  });

  it('asks the Messages API as well', async () => {
    const { run, processes } = await open({ ...CLAUDE, name: 'anthropic-sdk' });
    const ask = { prompt: 'Hi', model: 'claude-haiku-4-5' };
    const first = await run(ask);
    await eventually(() => expect(processes()).toHaveLength(1), PATIENCE);
    const second = await run(ask);
    expect(second).toMatchObject({ start: 'warm', status: 'succeeded' });
    expect(answer(second)).toEqual(answer(first));
  });

  it('is started for each queued job, and every job succeeds', async () => {
    const { server, run } = await open(CLAUDE, { BULLPEN_CONCURRENCY: '1' });
    const prompts = ['a', 'b', 'c', 'd'];
    const ran = await Promise.all(prompts.map((text) => run({ prompt: `[[reply: ${text}]]` })));
    expect(ran.map(({ outcome }) => outcome?.text)).toEqual(prompts);
    expect(new Set(ran.map(({ pid }) => pid)).size).toBe(prompts.length);
    expect(ran.filter(({ start }) => start === 'warm').length).toBeGreaterThan(0);
    const metrics = await (await server.api('GET', '/metrics')).text();
    expect(metrics).toMatch(/bullpen_execution_starts_total\{start="warm"\} [1-9]/);
  });
});

describe('the process of a claude session', () => {
  it('runs turn after turn, each with the conversation so far and its own cost', async () => {
    const { run, server } = await open(CLAUDE);
    const first = await run({ prompt: '[[reply: one]]' });
    const sessionId = first.outcome?.sessionId;
    const resumed = await run({ prompt: '[[reply: two]]', sessionId });
    const { data, waiting } = (await (await server.api('GET', '/v1/executions')).json()) as ExecutionsAnswer; // the documented answer
    expect(data).toEqual([]);
    expect(waiting.filter((one) => one.sessionId !== null)).toMatchObject([
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
  });

  it('continues after its process is gone', async () => {
    const { run } = await open(CLAUDE);
    const sessionId = (await run({ prompt: '[[reply: one]]' })).outcome?.sessionId;
    const { pid } = await run({ prompt: '[[reply: two]]', sessionId });
    process.kill(pid, 'SIGKILL');
    const next = await run({ prompt: '[[reply: three]]', sessionId });
    expect(next).toMatchObject({ start: 'cold', outcome: { text: 'three', sessionId } });
  });
});

describe('nothing is left', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('of what waits, after %s of the server', async (signal) => {
    const { server, processes, run } = await open(CLAUDE);
    const sessionId = (await run({ prompt: 'one' })).outcome?.sessionId;
    await run({ prompt: 'two', sessionId });
    await run({ prompt: 'three' });
    // One of the pool, and the session's own.
    await eventually(() => expect(processes().length).toBeGreaterThanOrEqual(2), PATIENCE);
    await server.kill(signal);
    await eventually(() => expect(processes().map(commandLine)).toEqual([]), PATIENCE);
  });
});
