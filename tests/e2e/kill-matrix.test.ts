/**
 * kill -9 of the worker and of the main process at each step of a prompt's way. Barriers put every
 * kill on its exact step: files of the fake CLI, and the failpoints of the server.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { FailpointName } from '../../src/failpoint.ts';
import type { StoredEvent } from '../../src/protocol/event.ts';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { isAlive } from '../helpers/proc.ts';
import {
  expectEndedOnce,
  expectWhole,
  type FakeSystem,
  gated,
  killMain,
  PATIENCE,
  sharedFakeSystem,
} from './fake-system.ts';

const SUCCEEDED = { status: 'succeeded', attempts: 1, outcome: { text: 'partial', error: null } };
const LOST = {
  status: 'failed',
  attempts: 1,
  outcome: { error: { code: 'execution.lost', retryable: true } },
};

const sigkill = (pid: number): true => process.kill(pid, 'SIGKILL');

describe('a worker process that is killed', () => {
  const shared = sharedFakeSystem({ env: { BULLPEN_CONCURRENCY: '1', BULLPEN_WORKERS: '3' } });

  /** The job has succeeded in one execution, and the system goes on. */
  async function expectRanOnce(system: FakeSystem, id: string): Promise<void> {
    const job = await system.server.finished(id);
    expect(job).toMatchObject(SUCCEEDED);
    expect(system.spawnsOf(await expectEndedOnce(system.server, job))).toHaveLength(1);
    await expectWhole(system);
  }

  /** Kills the worker that is held at a step, waits for the next one there, and lets that go on. */
  async function killAt(system: FakeSystem, step: FailpointName): Promise<void> {
    const pid = await system.failpoints.reached(step);
    sigkill(pid);
    await system.failpoints.reached(step, pid);
    system.failpoints.release(step);
  }

  it.each<[string, FailpointName]>([
    ['before it has asked for the execution', 'rpc.listening'],
    ['right after it has asked', 'rpc.submitted'],
    ['when it knows the end and has not reported it to BullMQ', 'rpc.finished'],
  ])('%s is replaced by one that attaches', async (_when, step) => {
    const system = shared();
    const { prompt, letGo } = gated(system);
    if (step === 'rpc.finished') letGo();
    system.failpoints.hold(step);
    const id = await system.submit({ prompt });
    await killAt(system, step);
    letGo();
    await expectRanOnce(system, id);
  });

  it('while the CLI streams changes nothing for the execution', async () => {
    const system = shared();
    const { prompt, streams, letGo } = gated(system);
    system.failpoints.hold('rpc.submitted');
    const id = await system.submit({ prompt });
    await streams();
    await killAt(system, 'rpc.submitted');
    letGo();
    await expectRanOnce(system, id);
  });

  it('when the outcome is delivered and it got no message is replaced by one that reads it', async () => {
    const system = shared();
    const { prompt, letGo } = gated(system);
    letGo();
    for (const step of ['rpc.submitted', 'delivery.recorded'] as const) system.failpoints.hold(step);
    const id = await system.submit({ prompt });
    const pid = await system.failpoints.reached('rpc.submitted');
    process.kill(pid, 'SIGSTOP');
    system.failpoints.release('rpc.submitted');
    await system.failpoints.reached('delivery.recorded');
    for (const step of ['delivery.finished', 'rpc.finished'] as const) system.failpoints.hold(step);
    system.failpoints.release('delivery.recorded');
    await system.failpoints.reached('delivery.finished');
    sigkill(pid);
    await system.failpoints.reached('rpc.finished', pid);
    for (const step of ['delivery.finished', 'rpc.finished'] as const) system.failpoints.release(step);
    await expectRanOnce(system, id);
  });

  it('while its job waits for a slot is replaced, and the job still runs once', async () => {
    const system = shared();
    const [blocking, waiting] = [gated(system), gated(system)];
    const blocker = await system.submit(blocking);
    await blocking.streams();
    system.failpoints.hold('rpc.submitted');
    waiting.letGo();
    const id = await system.submit(waiting);
    await killAt(system, 'rpc.submitted');
    expect(await system.server.job(id)).toMatchObject({ status: 'queued', attempts: 0 });
    blocking.letGo();
    await system.server.finished(blocker);
    await expectRanOnce(system, id);
  });
});

describe('the main process that is killed', () => {
  // No lock runs out during the test: what the killed workers held is delivered at once.
  const shared = sharedFakeSystem({
    env: { BULLPEN_CONCURRENCY: '4', BULLPEN_WORKERS: '10', BULLPEN_LOCK_MS: '600000' },
  });

  describe('with a job at every step', () => {
    const request = { prompt: 'once' };
    const key = { 'idempotency-key': 'the-same' };
    const ids = new Map<string, string>();
    let seen = '';
    let left: number[] = [];

    async function submit(when: string, request: Parameters<FakeSystem['submit']>[0]): Promise<void> {
      ids.set(when, await shared().submit(request));
    }
    /** A job that gets to this step and no further. */
    async function holdAt(step: FailpointName): Promise<void> {
      const { prompt, letGo } = gated(shared());
      letGo();
      shared().failpoints.hold(step);
      await submit(step, { prompt, autoContinue: false });
      await shared().failpoints.reached(step);
    }
    const health = async () => (await shared().server.api('GET', '/claude-cli/health')).json();
    async function finished(when: string): Promise<{ job: Job; events: StoredEvent[] }> {
      const { server } = shared();
      const job = await server.finished(ids.get(when) ?? expect.unreachable(when));
      return { job, events: await expectEndedOnce(server, job) };
    }

    beforeAll(async () => {
      const system = shared();
      // The last step first: a job passes each step that is not held yet. Their slots are free.
      await holdAt('rpc.finished');
      await holdAt('delivery.finished');
      await holdAt('delivery.recorded');
      await holdAt('executor.ended');
      // These four take all slots.
      const [streaming, retried] = [gated(system), gated(system)];
      await submit('streams', { prompt: streaming.prompt, autoContinue: false });
      const retry = { maxAttempts: 2, mode: 'restart' };
      await submit('streams, with retries', { prompt: retried.prompt, retry });
      await Promise.all([streaming.streams(), retried.streams()]);
      seen = await readUntil(system, ids.get('streams') ?? '', 'text.delta');
      await holdAt('executor.intended');
      await holdAt('executor.claimed');
      expect(await health()).toMatchObject({ running: 4, pendingRequests: 0 });
      // These two and the eight above take all workers.
      const waiting = gated(system);
      waiting.letGo();
      await submit('waits', { prompt: waiting.prompt });
      await eventually(async () => expect(await health()).toMatchObject({ pendingRequests: 1 }), PATIENCE);
      await holdAt('rpc.listening');
      await submit('queued', { prompt: waiting.prompt });
      system.failpoints.hold('job.created');
      const refused = system.server.api('POST', '/v1/jobs', request, key).then(
        () => 'answered',
        () => 'reset',
      );
      await system.failpoints.reached('job.created');

      await killMain(system);
      expect(await refused).toBe('reset');
      left = system.children();
      expect(left.length).toBeGreaterThan(0);
      retried.letGo();
      await system.restart({ BULLPEN_WORKERS: '4' });
    });

    it('has ended all of its earlier process before it takes work, also what had left the group', () => {
      expect(left.filter(isAlive)).toEqual([]);
    });

    it.each<[string, string, object, number]>([
      ['a job that was only queued runs once', 'queued', SUCCEEDED, 1],
      ['a job that a worker held runs once', 'rpc.listening', SUCCEEDED, 1],
      ['a job that waited for a slot runs once', 'waits', SUCCEEDED, 1],
      ['a claimed execution runs once', 'executor.claimed', SUCCEEDED, 1],
      ['an execution that may have been spawned is lost', 'executor.intended', LOST, 0],
      ['an execution whose outcome was not stored yet is lost', 'executor.ended', LOST, 1],
      ['an outcome that the ledger alone had is delivered', 'delivery.recorded', SUCCEEDED, 1],
      ['an outcome that the record had stays', 'delivery.finished', SUCCEEDED, 1],
      ['an outcome that the worker had and BullMQ had not stays', 'rpc.finished', SUCCEEDED, 1],
    ])('%s', async (_what, when, expected, spawns) => {
      const { job, events } = await finished(when);
      expect(job).toMatchObject(expected);
      expect(shared().spawnsOf(events)).toHaveLength(spawns);
    });

    it('a job that streamed is lost, keeps what it had said, and its announced session goes on', async () => {
      const { job, events } = await finished('streams');
      const [, sessionId] = /"sessionId":"(\w+)"/.exec(seen) ?? expect.unreachable(seen);
      expect(job).toMatchObject({
        ...LOST,
        outcome: { ...LOST.outcome, sessionId, turns: 1, text: 'partial' },
      });
      expect(events.filter(({ kind }) => kind === 'text.delta')).toMatchObject([{ text: 'partial' }]);
      expect(shared().spawnsOf(events)).toHaveLength(1);
      const next = await shared().server.run({ prompt: 'and on', sessionId });
      const { nativeSessionId } = job.outcome ?? expect.unreachable();
      expect(next).toMatchObject({ status: 'succeeded', outcome: { sessionId, nativeSessionId } });
    });

    it('a lost execution runs again as another one, when the caller asked for retries', async () => {
      const { job, events } = await finished('streams, with retries');
      expect(job).toMatchObject({ ...SUCCEEDED, attempts: 2 });
      const ended = events.filter((event) => event.kind === 'execution.finished');
      expect(ended).toMatchObject([
        { attempt: 1, outcome: { error: { code: 'execution.lost' } } },
        { attempt: 2, outcome: { status: 'succeeded' } },
      ]);
      expect(shared().spawnsOf(events)).toEqual(ended.map(({ executionId }) => executionId));
    });

    it('a request that was not answered has made one job, which its repetition gets', async () => {
      const { server } = shared();
      const answer = await server.api('POST', '/v1/jobs', request, key);
      expect([answer.status, answer.headers.get('idempotent-replayed')]).toEqual([202, 'true']);
      ids.set('not answered', ((await answer.json()) as { id: string }).id);
      const { job, events } = await finished('not answered');
      expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'fake: once' } });
      expect(shared().spawnsOf(events)).toHaveLength(1);
    });

    it('nothing else was started, and all goes on', () => expectWhole(shared()));
  });

  it('together with all that Redis kept never spawns again what the ledger knows', async () => {
    const system = shared();
    const { prompt, letGo } = gated(system);
    letGo();
    system.failpoints.hold('rpc.listening');
    const id = await system.submit({ prompt });
    await system.failpoints.reached('rpc.listening');
    // The server's own copy of the job is from before its claim; only the ledger has the intent.
    expect(await (await system.server.api('GET', '/v1/jobs?limit=1')).json()).toMatchObject({
      data: [{ id, attempts: 0 }],
    });
    system.failpoints.hold('executor.intended');
    system.failpoints.release('rpc.listening');
    await system.failpoints.reached('executor.intended');
    const spawned = system.spawns();
    await killMain(system);
    rmSync(join(system.server.home, 'redis', 'data'), { recursive: true });

    const server = await system.restart();
    const job = await server.finished(id);
    expect(job).toMatchObject({ status: 'failed', outcome: { error: { code: 'execution.lost' } } });
    expect(system.spawns()).toEqual(spawned);
    await expectWhole(system);
  });
});

/** The events that readers can see of a job that runs, up to the first of this kind. */
async function readUntil(system: FakeSystem, id: string, kind: string): Promise<string> {
  const path = `/v1/jobs/${id}/events`;
  const response = await system.server.api('GET', path, undefined, { accept: 'application/x-ndjson' });
  let text = '';
  for await (const chunk of (response.body ?? expect.unreachable()).pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes(`"kind":"${kind}"`)) break;
  }
  return text;
}
