/**
 * kill -9 of the server and of the executor at each step, and a network that breaks between them:
 * at most one spawn, exactly one outcome, no event lost or repeated.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FailpointName } from '../../src/failpoint.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import type { TestServer } from '../helpers/server.ts';
import { expectWhole, sharedExecutorSystem } from './executor-system.ts';
import { eventsOf, PATIENCE } from './fake-system.ts';

const SUCCEEDED = { status: 'succeeded', attempts: 1, outcome: { text: 'partial', error: null } };
const LOST = { status: 'failed', attempts: 1, outcome: { error: { code: 'execution.lost' } } };
const NO_RETRY = { retry: { maxAttempts: 1 }, autoContinue: false };

/** Reads the events of a running job until they have a text. */
async function said(server: TestServer, id: string, text: string): Promise<void> {
  const accept = { accept: 'application/x-ndjson' };
  const { body } = await server.api('GET', `/v1/jobs/${id}/events`, undefined, accept);
  let read = '';
  for await (const bytes of body ?? []) {
    read += Buffer.from(bytes).toString();
    if (read.includes(text)) return;
  }
  expect(read).toContain(text);
}

async function claudeOf(server: TestServer): Promise<object | undefined> {
  const { data } = (await (await server.api('GET', '/v1/providers')).json()) as { data: { name: string }[] };
  return data.find(({ name }) => name === 'claude');
}

describe('the server that is killed', () => {
  const shared = sharedExecutorSystem();

  it.each<[string, FailpointName, object, number]>([
    ['when the execution is claimed', 'executor.claimed', SUCCEEDED, 1],
    ['when it has the intent and has not sent it', 'executor.intended', LOST, 0],
    ['when the executor has it', 'executor.submitted', SUCCEEDED, 1],
    ['when it has the outcome in memory', 'executor.ended', SUCCEEDED, 1],
    ['when its ledger has the outcome', 'delivery.recorded', SUCCEEDED, 1],
    ['when the record has the outcome', 'delivery.finished', SUCCEEDED, 1],
  ])('%s ends the job once', async (_when, step, expected, spawns) => {
    const system = shared();
    const { prompt, letGo } = system.gated();
    letGo();
    system.at.server.hold(step);
    const id = await system.submit({ prompt, ...NO_RETRY });
    await system.at.server.reached(step);
    await system.server.kill('SIGKILL');
    await system.restartServer();
    const job = await system.server.finished(id);
    expect(job).toMatchObject(expected);
    expect(await system.spawnsOf(job)).toBe(spawns);
    await expectWhole(system);
  });

  it('while the CLI streams goes on with it: same process, every event once', async () => {
    const system = shared();
    const { prompt, streams, letGo } = system.gated();
    const id = await system.submit({ prompt, ...NO_RETRY });
    await streams();
    await said(system.server, id, 'partial');
    await system.server.kill('SIGKILL');
    await system.restartServer();
    expect(await system.server.job(id)).toMatchObject({ status: 'running' });
    letGo();
    const job = await system.server.finished(id);
    expect(job).toMatchObject(SUCCEEDED);
    expect(await system.spawnsOf(job)).toBe(1);
    const kinds = (await eventsOf(system.server, id)).map(({ kind }) => kind);
    for (const kind of ['execution.started', 'text.delta', 'text', 'execution.finished'] as const)
      expect(kinds.filter((one) => one === kind)).toHaveLength(1);
    await expectWhole(system);
  });
});

describe('the executor that is killed', () => {
  const shared = sharedExecutorSystem({ executor: { BULLPEN_CONCURRENCY: '1', BULLPEN_DRAIN_MS: '0' } });

  it.each<[string, FailpointName, object, number]>([
    ['before it has the intent', 'executor.claimed', SUCCEEDED, 1],
    ['when it has the intent', 'executor.intended', LOST, 0],
    ['when the CLI has ended and its outcome is in memory', 'executor.ended', LOST, 1],
    ['when its ledger has the outcome', 'delivery.recorded', SUCCEEDED, 1],
  ])('%s ends the job once', async (_when, step, expected, spawns) => {
    const system = shared();
    const { prompt, letGo } = system.gated();
    letGo();
    system.at.executor.hold(step);
    const id = await system.submit({ prompt, ...NO_RETRY });
    await system.at.executor.reached(step);
    await system.executor.kill('SIGKILL');
    await system.restartExecutor();
    const job = await system.server.finished(id);
    expect(job).toMatchObject(expected);
    expect(await system.spawnsOf(job)).toBe(spawns);
    await expectWhole(system);
  });

  it('while the CLI streams leaves no process, and the job is lost with its events', async () => {
    const system = shared();
    const { prompt, streams } = system.gated();
    const id = await system.submit({ prompt, ...NO_RETRY });
    await streams();
    await said(system.server, id, 'partial');
    await system.executor.kill('SIGKILL');
    await eventually(() => expect(system.left()).toEqual([]), PATIENCE);
    await system.restartExecutor();
    const job = await system.server.finished(id);
    expect(job).toMatchObject({ ...LOST, outcome: { ...LOST.outcome, text: 'partial' } });
    expect(await system.spawnsOf(job)).toBe(1);
    await expectWhole(system);
  });

  it('or stopped while an execution waits there has that one sent again, and it runs once', async () => {
    const system = shared();
    const [running, waiting] = [system.gated(), system.gated()];
    waiting.letGo();
    const first = await system.submit({ prompt: running.prompt, ...NO_RETRY });
    await running.streams();
    const second = await system.submit({ prompt: waiting.prompt, ...NO_RETRY });
    await eventually(async () => {
      expect(await system.known()).toMatchObject([{ state: 'running' }, { state: 'waiting' }]);
    }, PATIENCE);
    await system.executor.kill('SIGTERM');
    await system.restartExecutor();
    expect(await system.server.finished(first)).toMatchObject(LOST);
    const job = await system.server.finished(second);
    expect(job).toMatchObject(SUCCEEDED);
    expect(await system.spawnsOf(job)).toBe(1);
    await expectWhole(system);
  });

  it('and comes back with another data folder has its executions lost, and starts none again', async () => {
    const system = shared();
    const { prompt, streams, letGo } = system.gated();
    const id = await system.submit({ prompt, ...NO_RETRY });
    await streams();
    await system.executor.kill('SIGKILL');
    await system.restartExecutor(true);
    const job = await system.server.finished(id);
    expect(job).toMatchObject(LOST);
    letGo();
    expect(await system.spawnsOf(job)).toBe(1);
    await expectWhole(system);
  });
});

describe('a network that breaks', () => {
  const shared = sharedExecutorSystem();
  const counted = (count: number) =>
    fakePrompt(Array.from({ length: count }, () => [{ delta: 'word ' }, { sleepMs: 10 }]).flat());

  /** The texts of the deltas in order, whatever their number. */
  async function saidIn(id: string): Promise<string> {
    const events = await eventsOf(shared().server, id);
    return events.map((event) => (event.kind === 'text.delta' ? event.text : '')).join('');
  }

  it('again and again loses and repeats no event', async () => {
    const system = shared();
    const go = join(system.executor.dir, 'go');
    const words = Array.from({ length: 300 }, () => [{ delta: 'word ' }, { sleepMs: 10 }]).flat();
    const id = await system.submit({ prompt: fakePrompt([...words, { waitFor: go }]) });
    for (let cuts = 0; cuts < 20; cuts += 1) {
      const before = system.network.opened;
      await eventually(() => system.network.opened > before || cuts === 0, PATIENCE);
      system.network.cut();
    }
    writeFileSync(go, '');
    const job = await system.server.finished(id);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(await system.spawnsOf(job)).toBe(1);
    expect(await saidIn(id)).toBe('word '.repeat(300));
    expect(job.outcome?.text).toBe('word '.repeat(300));
  });

  it('when the answer to the submit is on its way starts one CLI', async () => {
    const system = shared();
    const { prompt, streams, letGo } = system.gated();
    await expectWhole(system); // the server knows the executor
    system.network.holdAnswers(true);
    const id = await system.submit({ prompt, ...NO_RETRY });
    await streams();
    system.network.cut();
    system.network.holdAnswers(false);
    letGo();
    const job = await system.server.finished(id);
    expect(job).toMatchObject(SUCCEEDED);
    expect(await system.spawnsOf(job)).toBe(1);
    await expectWhole(system);
  });

  it('that is slow both ways changes only the time', async () => {
    const system = shared();
    system.network.delayAnswers(200);
    const job = await system.server.run({ prompt: counted(50) }, 60);
    system.network.delayAnswers(0);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(await system.spawnsOf(job)).toBe(1);
    expect(await saidIn(job.id)).toBe('word '.repeat(50));
  });

  it('while a job is cancelled that was on its way to the executor: it never starts', async () => {
    const system = shared();
    await expectWhole(system);
    system.network.holdRequests(true);
    const { prompt, letGo } = system.gated();
    letGo();
    const id = await system.submit({ prompt });
    await eventually(async () => (await system.server.job(id)).status === 'running', PATIENCE);
    await system.server.api('POST', `/v1/jobs/${id}/cancel`);
    system.network.holdRequests(false);
    const job = await system.server.finished(id);
    expect(job).toMatchObject({ status: 'cancelled', outcome: { error: { code: 'execution.cancelled' } } });
    expect(await system.spawnsOf(job)).toBeLessThanOrEqual(1); // the submit may have been first
    await expectWhole(system);
  });

  it('for good lets new jobs wait, says so in /ready, and they run when it is back', async () => {
    const system = shared();
    system.network.setTarget(null);
    system.network.cut();
    const ids = await Promise.all(['a', 'b', 'c'].map((prompt) => system.submit({ prompt })));
    await eventually(async () => {
      const ready = await system.server.api('GET', '/ready');
      expect(ready.status).toBe(503);
      expect(await ready.text()).toContain('executor');
    }, PATIENCE);
    expect(await claudeOf(system.server)).toMatchObject({
      available: false,
      todo: expect.stringContaining('start the executor'),
    });
    system.reconnect();
    for (const id of ids) {
      const job = await system.server.finished(id);
      expect(job).toMatchObject({ status: 'succeeded', attempts: 1 });
      expect(await system.spawnsOf(job)).toBe(1);
    }
    expect((await system.server.api('GET', '/ready')).status).toBe(200);
    expect(await claudeOf(system.server)).toMatchObject({
      available: true,
      authenticated: 'yes',
      running: 0,
    });
  });
});
