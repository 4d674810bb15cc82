/**
 * kill -9 of each process at each step of a prompt's way. Barriers put every kill on its exact
 * step: files of the fake CLI, and the failpoints of the server.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FailpointName } from '../../src/failpoint.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import { isAlive } from '../helpers/proc.ts';
import { expectEndedOnce, expectWhole, type FakeSystem, reached, startFakeSystem } from './fake-system.ts';

const ONE_WORKER = { env: { BULLPEN_WORKERS: '1' } };
const ONE_SLOT = { BULLPEN_CONCURRENCY: '1', BULLPEN_WORKERS: '3' };
const SUCCEEDED = { status: 'succeeded', attempts: 1, outcome: { text: 'partial', error: null } };
const LOST = {
  status: 'failed',
  attempts: 1,
  outcome: { error: { code: 'execution.lost', retryable: true } },
};

const sigkill = (pid: number): true => process.kill(pid, 'SIGKILL');

/** Says a word, reports that it streams, and goes on when it may. */
const streamingPrompt = (system: FakeSystem): string =>
  fakePrompt([
    { delta: 'partial' },
    { spawn: { setsid: true } },
    { touch: system.path('streaming') },
    { waitFor: system.path('go') },
  ]);
const letGo = (system: FakeSystem): void => writeFileSync(system.path('go'), '');

function onlyWorker(system: FakeSystem): number {
  const [pid = 0, ...others] = system.workers();
  expect([pid > 0, others]).toEqual([true, []]);
  return pid;
}

async function killMain(system: FakeSystem): Promise<void> {
  const workers = system.workers();
  await system.server.kill('SIGKILL');
  await eventually(() => expect(workers.filter(isAlive)).toEqual([]), { timeoutMs: 10_000 });
}

describe('a worker process that is killed', () => {
  it.each<[string, FailpointName]>([
    ['before it has asked for the execution', 'rpc.listening'],
    ['right after it has asked', 'rpc.submitted'],
    ['when it knows the end and has not reported it to BullMQ', 'rpc.finished'],
  ])('%s is replaced by one that attaches', async (_when, step) => {
    const system = await startFakeSystem();
    if (step === 'rpc.finished') letGo(system);
    system.failpoints.hold(step);
    const id = await system.submit({ prompt: streamingPrompt(system) });
    const pid = await system.failpoints.reached(step);
    sigkill(pid);
    await system.failpoints.reached(step, pid);
    system.failpoints.release(step);
    letGo(system);

    const job = await system.server.finished(id);
    expect(job).toMatchObject(SUCCEEDED);
    await expectEndedOnce(system.server, job);
    expect(system.spawns()).toHaveLength(1);
    await expectWhole(system);
  });

  it.each<[string, FailpointName]>([
    ['while the execution is claimed', 'executor.claimed'],
    ['while the CLI is about to be spawned', 'executor.intended'],
    ['when the CLI has just ended', 'executor.ended'],
    ['when the ledger alone has the outcome', 'delivery.recorded'],
  ])('%s changes nothing for the execution', async (_when, step) => {
    const system = await startFakeSystem(ONE_WORKER);
    letGo(system);
    system.failpoints.hold(step);
    const id = await system.submit({ prompt: streamingPrompt(system) });
    await system.failpoints.reached(step);
    const pid = onlyWorker(system);
    system.failpoints.hold('rpc.submitted');
    sigkill(pid);
    await system.failpoints.reached('rpc.submitted', pid);
    system.failpoints.release('rpc.submitted');
    system.failpoints.release(step);

    const job = await system.server.finished(id);
    expect(job).toMatchObject(SUCCEEDED);
    await expectEndedOnce(system.server, job);
    expect(system.spawns()).toHaveLength(1);
    await expectWhole(system);
  });

  it('when the outcome is delivered and it got no message is replaced by one that reads it', async () => {
    const system = await startFakeSystem(ONE_WORKER);
    letGo(system);
    system.failpoints.hold('delivery.recorded');
    const id = await system.submit({ prompt: streamingPrompt(system) });
    await system.failpoints.reached('delivery.recorded');
    const pid = onlyWorker(system);
    process.kill(pid, 'SIGSTOP');
    for (const step of ['delivery.finished', 'rpc.finished'] as const) system.failpoints.hold(step);
    system.failpoints.release('delivery.recorded');
    await system.failpoints.reached('delivery.finished');
    sigkill(pid);
    await system.failpoints.reached('rpc.finished', pid);
    for (const step of ['delivery.finished', 'rpc.finished'] as const) system.failpoints.release(step);

    const job = await system.server.finished(id);
    expect(job).toMatchObject(SUCCEEDED);
    await expectEndedOnce(system.server, job);
    expect(system.spawns()).toHaveLength(1);
    await expectWhole(system);
  });

  it('while the CLI streams changes nothing for the execution', async () => {
    const system = await startFakeSystem(ONE_WORKER);
    const id = await system.submit({ prompt: streamingPrompt(system) });
    await reached(system.path('streaming'));
    const pid = onlyWorker(system);
    system.failpoints.hold('rpc.submitted');
    sigkill(pid);
    await system.failpoints.reached('rpc.submitted', pid);
    system.failpoints.release('rpc.submitted');
    letGo(system);

    const job = await system.server.finished(id);
    expect(job).toMatchObject(SUCCEEDED);
    await expectEndedOnce(system.server, job);
    expect(system.spawns()).toHaveLength(1);
    await expectWhole(system);
  });

  it('while its job waits for a slot is replaced, and the job still runs once', async () => {
    const system = await startFakeSystem({ env: ONE_SLOT });
    const blocker = await system.submit({ prompt: streamingPrompt(system) });
    await reached(system.path('streaming'));
    system.failpoints.hold('rpc.submitted');
    const id = await system.submit({ prompt: 'after it' });
    const pid = await system.failpoints.reached('rpc.submitted');
    sigkill(pid);
    await system.failpoints.reached('rpc.submitted', pid);
    system.failpoints.release('rpc.submitted');
    expect(await system.server.job(id)).toMatchObject({ status: 'queued', attempts: 0 });
    letGo(system);

    const jobs = [await system.server.finished(blocker), await system.server.finished(id)];
    expect(jobs).toMatchObject([SUCCEEDED, { status: 'succeeded', outcome: { text: 'fake: after it' } }]);
    for (const job of jobs) await expectEndedOnce(system.server, job);
    expect(system.spawns()).toHaveLength(2);
    await expectWhole(system);
  });
});

describe('the main process that is killed', () => {
  it('after it has made the job, before it has answered, makes one job of the repeated request', async () => {
    const system = await startFakeSystem();
    const request = { prompt: 'once' };
    const key = { 'idempotency-key': 'the-same' };
    system.failpoints.hold('job.created');
    const refused = system.server.api('POST', '/v1/jobs', request, key).then(
      () => 'answered',
      () => 'reset',
    );
    await system.failpoints.reached('job.created');
    await killMain(system);
    expect(await refused).toBe('reset');

    const server = await system.restart();
    const answer = await server.api('POST', '/v1/jobs', request, key);
    expect([answer.status, answer.headers.get('idempotent-replayed')]).toEqual([202, 'true']);
    const { id } = (await answer.json()) as { id: string };
    const job = await server.finished(id);
    expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'fake: once' } });
    await expectEndedOnce(server, job);
    expect(system.spawns()).toHaveLength(1);
    await expectWhole(system);
  });

  it('while a job is only queued runs it once after its return', async () => {
    const system = await startFakeSystem({ env: { BULLPEN_CONCURRENCY: '1', BULLPEN_WORKERS: '1' } });
    const blocker = await system.submit({ prompt: streamingPrompt(system) });
    await reached(system.path('streaming'));
    const id = await system.submit({ prompt: 'queued' });
    await killMain(system);

    const server = await system.restart();
    const jobs = [await server.finished(blocker), await server.finished(id)];
    expect(jobs).toMatchObject([LOST, { status: 'succeeded', outcome: { text: 'fake: queued' } }]);
    for (const job of jobs) await expectEndedOnce(server, job);
    expect(system.spawns()).toHaveLength(2);
    await expectWhole(system);
  });

  it('while a job waits for a slot runs it once after its return', async () => {
    const system = await startFakeSystem({ env: ONE_SLOT });
    const blocker = await system.submit({ prompt: streamingPrompt(system) });
    await reached(system.path('streaming'));
    system.failpoints.hold('rpc.submitted');
    const id = await system.submit({ prompt: 'waiting' });
    await system.failpoints.reached('rpc.submitted');
    await killMain(system);

    const server = await system.restart();
    const jobs = [await server.finished(blocker), await server.finished(id)];
    expect(jobs).toMatchObject([LOST, { status: 'succeeded', outcome: { text: 'fake: waiting' } }]);
    for (const job of jobs) await expectEndedOnce(server, job);
    expect(system.spawns()).toHaveLength(2);
    await expectWhole(system);
  });

  it('while the CLI streams leaves what it had said, and the session it had announced goes on', async () => {
    const system = await startFakeSystem();
    const id = await system.submit({ prompt: streamingPrompt(system) });
    const { server: first } = system;
    const path = `/v1/jobs/${id}/events?kinds=text.delta,session`;
    const stream = (await first.api('GET', path)).body?.pipeThrough(new TextDecoderStream());
    let received = '';
    for await (const chunk of stream ?? expect.unreachable()) {
      received += chunk;
      if (received.includes('text.delta')) break;
    }
    const [, sessionId] = /"sessionId":"(\w+)"/.exec(received) ?? expect.unreachable(received);
    await killMain(system);

    const server = await system.restart();
    const job = await server.finished(id);
    expect(job).toMatchObject({ ...LOST, outcome: { ...LOST.outcome, sessionId, text: 'partial' } });
    const next = await server.run({ prompt: 'and on', sessionId });
    const { nativeSessionId } = job.outcome ?? expect.unreachable();
    expect(next).toMatchObject({ status: 'succeeded', outcome: { sessionId, nativeSessionId } });
    await expectWhole(system);
  });

  it.each<[string, FailpointName, object, number]>([
    ['while a worker holds the job', 'rpc.listening', SUCCEEDED, 1],
    ['while the execution is claimed', 'executor.claimed', SUCCEEDED, 1],
    ['when it may have spawned the CLI', 'executor.intended', LOST, 0],
    ['when the CLI has ended and its outcome is not stored yet', 'executor.ended', LOST, 1],
    ['when the ledger alone has the outcome', 'delivery.recorded', SUCCEEDED, 1],
    ['when the record has the outcome', 'delivery.finished', SUCCEEDED, 1],
    ['when the worker has it and BullMQ has not', 'rpc.finished', SUCCEEDED, 1],
  ])('%s leaves one outcome and at most one spawn', async (_when, step, expected, spawns) => {
    const system = await startFakeSystem();
    letGo(system);
    system.failpoints.hold(step);
    const id = await system.submit({ prompt: streamingPrompt(system) });
    await system.failpoints.reached(step);
    await killMain(system);

    const server = await system.restart();
    const job = await server.finished(id);
    expect(job).toMatchObject(expected);
    await expectEndedOnce(server, job);
    expect(system.spawns()).toHaveLength(spawns);
    await expectWhole(system);
  });

  it('while the CLI streams ends the job as lost, keeps what was said, and leaves no process', async () => {
    const system = await startFakeSystem();
    const id = await system.submit({ prompt: streamingPrompt(system) });
    await reached(system.path('streaming'));
    await eventually(async () => expect(await saidSoFar(system, id)).toBe('partial'), { timeoutMs: 30_000 });
    await killMain(system);

    const server = await system.restart();
    // Before it takes work it has ended what its earlier process left, also what had left the
    // group.
    expect(system.marked()).toEqual([]);
    const job = await server.finished(id);
    expect(job).toMatchObject(LOST);
    const events = await expectEndedOnce(server, job);
    expect(events.filter(({ kind }) => kind === 'text.delta')).toMatchObject([{ text: 'partial' }]);
    expect(system.spawns()).toHaveLength(1);
    await expectWhole(system);
  });

  it('together with all that Redis kept never spawns again what the ledger knows', async () => {
    const system = await startFakeSystem();
    letGo(system);
    system.failpoints.hold('rpc.listening');
    const id = await system.submit({ prompt: streamingPrompt(system) });
    await system.failpoints.reached('rpc.listening');
    // The server's own copy of the job is from before its claim; only the ledger has the intent.
    expect(await (await system.server.api('GET', '/v1/jobs')).json()).toMatchObject({
      data: [{ id, attempts: 0 }],
    });
    system.failpoints.hold('executor.intended');
    system.failpoints.release('rpc.listening');
    await system.failpoints.reached('executor.intended');
    await killMain(system);
    rmSync(join(system.server.home, 'redis', 'data'), { recursive: true });

    const server = await system.restart();
    const job = await server.finished(id);
    expect(job).toMatchObject({ status: 'failed', outcome: { error: { code: 'execution.lost' } } });
    expect(system.spawns()).toEqual([]);
    await expectWhole(system);
  });

  it('runs a lost execution again as another one, when the caller asked for retries', async () => {
    const system = await startFakeSystem();
    const id = await system.submit({ prompt: streamingPrompt(system), retry: { maxAttempts: 2 } });
    await reached(system.path('streaming'));
    await killMain(system);
    letGo(system);

    const server = await system.restart();
    const job = await server.finished(id);
    expect(job).toMatchObject({ ...SUCCEEDED, attempts: 2 });
    const events = await expectEndedOnce(server, job);
    const ended = events.filter((event) => event.kind === 'execution.finished');
    expect(ended).toMatchObject([
      { attempt: 1, outcome: { error: { code: 'execution.lost' } } },
      { attempt: 2, outcome: { status: 'succeeded' } },
    ]);
    const [first, second] = ended.map(({ executionId }) => executionId);
    expect(first).not.toBe(second);
    expect(system.spawns().map((marker) => marker.split('/')[1])).toEqual([first, second]);
    await expectWhole(system);
  });
});

describe('a CLI that is killed', () => {
  const CRASHED = {
    status: 'failed',
    attempts: 1,
    outcome: { exit: { code: null, signal: 'SIGKILL' }, error: { code: 'execution.crashed' } },
  };

  it('before its first word fails the job and frees the slot', async () => {
    const system = await startFakeSystem({ env: ONE_SLOT });
    const id = await system.submit({ prompt: fakePrompt([{ hang: true }]) });
    sigkill(await system.cliPid());
    const job = await system.server.finished(id);
    expect(job).toMatchObject({ ...CRASHED, outcome: { ...CRASHED.outcome, text: '' } });
    await expectEndedOnce(system.server, job);
    await expectWhole(system);
  });

  it('while it streams fails the job, keeps what it said, and takes what it started along', async () => {
    const system = await startFakeSystem({ env: ONE_SLOT });
    const id = await system.submit({ prompt: streamingPrompt(system) });
    await reached(system.path('streaming'));
    sigkill(await system.cliPid());
    const job = await system.server.finished(id);
    expect(job).toMatchObject({ ...CRASHED, outcome: { ...CRASHED.outcome, text: 'partial' } });
    await expectEndedOnce(system.server, job);
    expect(system.spawns()).toHaveLength(1);
    await expectWhole(system);
  });

  it('while something it started holds its output open still ends the job', async () => {
    const system = await startFakeSystem({ env: ONE_SLOT });
    const prompt = fakePrompt([
      { spawn: { holdPipe: true } },
      { touch: system.path('ready') },
      { hang: true },
    ]);
    const id = await system.submit({ prompt });
    await reached(system.path('ready'));
    sigkill(await system.cliPid());
    const job = await system.server.finished(id);
    expect(job).toMatchObject(CRASHED);
    const events = await expectEndedOnce(system.server, job);
    expect(events.filter(({ kind }) => kind === 'warning')).toMatchObject([{ code: 'leaked_pipe' }]);
    await expectWhole(system);
  });

  it('after its result is a crash: a result counts only with a clean exit', async () => {
    const system = await startFakeSystem({ env: ONE_SLOT });
    const prompt = fakePrompt([{ result: {} }, { touch: system.path('said') }, { hang: true }]);
    const id = await system.submit({ prompt });
    await reached(system.path('said'));
    sigkill(await system.cliPid());
    const job = await system.server.finished(id);
    expect(job).toMatchObject(CRASHED);
    await expectEndedOnce(system.server, job);
    await expectWhole(system);
  });
});

/** The text that readers can see of a job that runs. */
async function saidSoFar(system: FakeSystem, id: string): Promise<string> {
  const reading = new AbortController();
  const { server } = system;
  const response = await fetch(`${server.url}/v1/jobs/${id}/events?kinds=text.delta`, {
    headers: { authorization: `Bearer ${server.token}`, accept: 'application/x-ndjson' },
    signal: reading.signal,
  });
  const reader = (response.body ?? expect.unreachable()).pipeThrough(new TextDecoderStream()).getReader();
  const { value = '' } = await reader.read();
  reading.abort();
  return JSON.parse(value.split('\n')[0] ?? '').text;
}
