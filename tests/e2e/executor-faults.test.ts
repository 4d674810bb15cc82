/**
 * kill -9 of the server and of the executor at each step, and a network that breaks between them:
 * at most one spawn, exactly one outcome, no event lost or repeated.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { FailpointName } from '../../src/failpoint.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import type { TestServer } from '../helpers/server.ts';
import { type ExecutorSystem, expectWhole, sharedExecutorSystem } from './executor-system.ts';
import { eventsOf, PATIENCE } from './fake-system.ts';

const SUCCEEDED = { status: 'succeeded', attempts: 1, outcome: { text: 'partial and done', error: null } };
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

/** Jobs at steps of a program, and one that streams, when that program is killed. */
function jobsAtSteps(shared: () => ExecutorSystem, program: 'server' | 'executor') {
  const ids = new Map<string, string>();

  return {
    /** @param steps the last one first: a job passes each step that is not held yet */
    async hold(...steps: readonly FailpointName[]): Promise<{ letGo(): void }> {
      const system = shared();
      const streaming = system.gated();
      const id = await system.submit({ prompt: streaming.prompt, ...NO_RETRY });
      ids.set('streams', id);
      await streaming.streams();
      await said(system.server, id, 'partial');
      for (const step of steps) {
        const { prompt, letGo } = system.gated();
        letGo();
        system.at[program].hold(step);
        ids.set(step, await system.submit({ prompt, ...NO_RETRY }));
        await system.at[program].reached(step);
      }
      return streaming;
    },
    job: (when: string) => shared().server.job(ids.get(when) ?? expect.unreachable(when)),
    finished: (when: string) => shared().server.finished(ids.get(when) ?? expect.unreachable(when)),
  };
}

describe('the server that is killed', () => {
  const shared = sharedExecutorSystem({ server: { BULLPEN_CONCURRENCY: '8' } });

  describe('with a job at every step', () => {
    const jobs = jobsAtSteps(shared, 'server');
    let streaming: { letGo(): void };

    beforeAll(async () => {
      streaming = await jobs.hold(
        'delivery.finished',
        'delivery.recorded',
        'executor.ended',
        'executor.submitted',
        'executor.intended',
        'executor.claimed',
      );
      await shared().server.kill('SIGKILL');
      await shared().restartServer();
    });

    it('goes on with what streams: same process, every event once', async () => {
      const system = shared();
      expect(await jobs.job('streams')).toMatchObject({ status: 'running' });
      streaming.letGo();
      const job = await jobs.finished('streams');
      expect(job).toMatchObject(SUCCEEDED);
      expect(await system.spawnsOf(job)).toBe(1);
      const events = await eventsOf(system.server, job.id);
      const texts = events.flatMap((event) => (event.kind === 'text.delta' ? [event.text] : []));
      expect(texts).toEqual(['partial', ' and done']);
      const kinds = events.map(({ kind }) => kind);
      for (const kind of ['execution.started', 'text', 'execution.finished'] as const)
        expect(kinds.filter((one) => one === kind)).toHaveLength(1);
    });

    it.each<[string, FailpointName, object, number]>([
      ['when the execution is claimed', 'executor.claimed', SUCCEEDED, 1],
      ['when it has the intent and has not sent it', 'executor.intended', LOST, 0],
      ['when the executor has it', 'executor.submitted', SUCCEEDED, 1],
      ['when it has the outcome in memory', 'executor.ended', SUCCEEDED, 1],
      ['when its ledger has the outcome', 'delivery.recorded', SUCCEEDED, 1],
      ['when the record has the outcome', 'delivery.finished', SUCCEEDED, 1],
    ])('%s ends the job once', async (_when, step, expected, spawns) => {
      const job = await jobs.finished(step);
      expect(job).toMatchObject(expected);
      expect(await shared().spawnsOf(job)).toBe(spawns);
    });

    it('leaves nothing, and the next job runs', () => expectWhole(shared()));
  });
});

describe('the executor that is killed', () => {
  // Three slots: for the one that streams, and for the two that have not ended.
  const shared = sharedExecutorSystem({ executor: { BULLPEN_CONCURRENCY: '3', BULLPEN_DRAIN_MS: '0' } });

  describe('with an execution at every step', () => {
    const jobs = jobsAtSteps(shared, 'executor');

    beforeAll(async () => {
      const system = shared();
      await jobs.hold('delivery.recorded', 'executor.ended', 'executor.intended', 'executor.claimed');
      await system.executor.kill('SIGKILL');
      await eventually(() => expect(system.left()).toEqual([]), PATIENCE);
      await system.restartExecutor();
    });

    it.each<[string, FailpointName, object, number]>([
      ['before it has the intent', 'executor.claimed', SUCCEEDED, 1],
      ['when it has the intent', 'executor.intended', LOST, 0],
      ['when the CLI has ended and its outcome is in memory', 'executor.ended', LOST, 1],
      ['when its ledger has the outcome', 'delivery.recorded', SUCCEEDED, 1],
    ])('%s ends the job once', async (_when, step, expected, spawns) => {
      const job = await jobs.finished(step);
      expect(job).toMatchObject(expected);
      expect(await shared().spawnsOf(job)).toBe(spawns);
    });

    it('while the CLI streams left no process, and the job is lost with its events', async () => {
      const job = await jobs.finished('streams');
      expect(job).toMatchObject({ ...LOST, outcome: { ...LOST.outcome, text: 'partial' } });
      expect(await shared().spawnsOf(job)).toBe(1);
    });

    it('leaves nothing, and the next job runs', () => expectWhole(shared()));
  });

  it('or stopped while an execution waits there has that one sent again, and it runs once', async () => {
    const system = shared();
    const [slots, waiting] = [[1, 2, 3].map(() => system.gated()), system.gated()];
    waiting.letGo();
    const running: string[] = [];
    for (const { prompt, streams } of slots) {
      running.push(await system.submit({ prompt, ...NO_RETRY }));
      await streams();
    }
    const id = await system.submit({ prompt: waiting.prompt, ...NO_RETRY });
    const states = ['running', 'running', 'running', 'waiting'];
    await eventually(async () => {
      expect((await system.known()).map(({ state }) => state)).toEqual(states);
    }, PATIENCE);
    await system.executor.kill('SIGTERM');
    await system.restartExecutor();
    for (const one of running) expect(await system.server.finished(one)).toMatchObject(LOST);
    const job = await system.server.finished(id);
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

  it('for good lets new jobs wait, says so in /ready, and they run when it is back', async () => {
    const system = shared();
    system.network.setTarget(null);
    system.network.cut();
    const ids = await Promise.all(['a', 'b', 'c'].map((prompt) => system.submit({ prompt })));
    await eventually(async () => {
      const ready = await system.server.api('GET', '/ready');
      expect(ready.status).toBe(503);
      expect(await ready.text()).toMatch(
        /circuit breaker is (open|half-open): the executor cannot be reached/,
      );
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
});
