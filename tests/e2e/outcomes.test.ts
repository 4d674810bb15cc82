/**
 * In which order jobs run, and how they are tried again, over HTTP, and raw requests, with a CLI
 * that follows a script. How a CLI may end is the table of cli-faults.test.ts.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import { findRedisCli, findTestServer, runRedisCli } from '../helpers/redis-private.ts';
import {
  expectEndedOnce,
  expectWhole,
  type FakeSystem,
  PATIENCE,
  reached,
  sharedFakeSystem,
} from './fake-system.ts';

const shared = sharedFakeSystem({
  // A grace that no test waits for.
  env: { BULLPEN_CONCURRENCY: '2', BULLPEN_WORKERS: '9', BULLPEN_KILL_GRACE_MS: '600000' },
});

/** Runs a prompt to its end and checks that it has ended once. */
async function run(system: FakeSystem, request: Parameters<FakeSystem['submit']>[0]) {
  const job = await system.server.finished(await system.submit(request));
  return { job, events: await expectEndedOnce(system.server, job) };
}

/** Takes one of the two slots until it is let go. */
async function block(system: FakeSystem): Promise<{ release(): Promise<void> }> {
  const [started, go] = [system.newFile('blocking'), system.newFile('go')];
  const id = await system.submit({ prompt: fakePrompt([{ touch: started }, { waitFor: go }]) });
  await reached(started);
  return {
    async release() {
      writeFileSync(go, '');
      await system.server.finished(id);
    },
  };
}

/** Jobs by the moment their first CLI started. */
const inOrderOfStart = (jobs: readonly Job[]): string[] =>
  jobs
    .toSorted((a, b) => Date.parse(a.startedAt ?? '') - Date.parse(b.startedAt ?? ''))
    .map(({ tags }) => tags[0] ?? '');

describe('a job that waits', () => {
  it('longer than its ttlMs expires without a spawn', async () => {
    const system = shared();
    const blockers = [await block(system), await block(system)];
    const { job, events } = await run(system, { prompt: 'too late', ttlMs: 200 });
    expect(job).toMatchObject({
      status: 'failed',
      attempts: 0,
      outcome: { error: { code: 'queue.expired' } },
    });
    expect(system.spawnsOf(events)).toEqual([]);
    for (const blocker of blockers) await blocker.release();
  });

  it('runs by priority, and among equals in the order it came', async () => {
    const system = shared();
    const blockers = [await block(system), await block(system)];
    const wanted = [
      ['low', -5],
      ['first', 0],
      ['second', 0],
      ['high', 5],
      ['highest', 10],
    ] as const;
    const ids: string[] = [];
    for (const [name, priority] of wanted) {
      ids.push(await system.submit({ prompt: name, tags: [name], priority }));
    }
    await allSubmitted(system, wanted.length);
    await blockers[0]?.release();
    const jobs = await Promise.all(ids.map((id) => system.server.finished(id)));
    expect(inOrderOfStart(jobs)).toEqual(['highest', 'high', 'first', 'second', 'low']);
    await blockers[1]?.release();
  });

  it('for its concurrencyKey runs alone and in order, and others do not wait for it', async () => {
    const system = shared();
    const keyed = (key: string, name: string) =>
      system.submit({
        prompt: fakePrompt([{ delta: name }, { sleepMs: 20 }]),
        tags: [name],
        concurrencyKey: key,
      });
    const a: string[] = [];
    for (let i = 1; i <= 4; i += 1) a.push(await keyed('a', `a${i}`));
    const b = [await keyed('b', 'b1'), await keyed('b', 'b2')];
    const finished = (ids: readonly string[]) => Promise.all(ids.map((id) => system.server.finished(id)));
    const [jobsA, jobsB] = [await finished(a), await finished(b)];
    for (const jobs of [jobsA, jobsB]) {
      expect(jobs.map(({ status }) => status)).toEqual(jobs.map(() => 'succeeded'));
      for (const [index, job] of jobs.entries()) {
        const before = jobs[index - 1];
        if (before === undefined) continue;
        // Not before the one ahead of it was over.
        expect(Date.parse(job.startedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(before.finishedAt ?? ''));
      }
    }
    const lastA = Date.parse(jobsA.at(-1)?.startedAt ?? '');
    expect(Date.parse(jobsB[0]?.startedAt ?? '')).toBeLessThan(lastA);
  });

  it('for its delayMs is scheduled and then runs', async () => {
    const system = shared();
    const id = await system.submit({ prompt: 'later', delayMs: 1500 });
    const job = await system.server.finished(id);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1, waitReason: null, scheduledFor: null });
    const events = await expectEndedOnce(system.server, job);
    expect(events.slice(0, 3).map(({ kind }) => kind)).toEqual([
      'job.scheduled',
      'job.queued',
      'job.running',
    ]);
    const [scheduled] = events.filter((event) => event.kind === 'job.scheduled');
    const { waitReason, scheduledFor } = scheduled ?? expect.unreachable();
    expect(waitReason).toBe('delayed');
    const dueAt = Date.parse(job.createdAt) + 1500;
    expect(Math.abs(Date.parse(scheduledFor) - dueAt)).toBeLessThan(1000);
    expect(Date.parse(job.startedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(scheduledFor));
  });
});

describe('a job that is tried again', () => {
  const OVERLOADED = { result: { is_error: true, api_error_status: 529, result: 'Overloaded' } };

  it('waits as scheduled between its attempts and keeps one stream of events over them', async () => {
    const system = shared();
    const prompt = fakePrompt([{ delta: 'trying' }, OVERLOADED]);
    const retry = { maxAttempts: 2, mode: 'restart' };
    const { job, events } = await run(system, { prompt, retry });
    expect(job).toMatchObject({
      status: 'failed',
      attempts: 2,
      outcome: { error: { code: 'execution.overloaded', retryable: true } },
    });
    const frame = events.filter(({ kind }) => kind.startsWith('job.') || kind.startsWith('execution.'));
    expect(frame.map(({ kind, attempt }) => `${kind} ${attempt}`)).toEqual([
      'job.queued 0',
      'job.running 1',
      'execution.started 1',
      'execution.finished 1',
      'job.scheduled 1',
      'job.queued 1',
      'job.running 2',
      'execution.started 2',
      'execution.finished 2',
      'job.finished 2',
    ]);
    expect(frame[4]).toMatchObject({ waitReason: 'backoff' });
    expect(events.filter(({ kind }) => kind === 'text.delta').map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(new Set(system.spawnsOf(events)).size).toBe(2);
  });

  it('can be cancelled between its attempts', async () => {
    const system = shared();
    const limit = { status: 'rejected', resetsAt: Math.ceil(Date.now() / 1000) + 600 };
    const steps = [
      { line: JSON.stringify({ type: 'rate_limit_event', rate_limit_info: limit }) },
      { result: { is_error: true, api_error_status: 429, result: 'Too many requests' } },
    ];
    const id = await system.submit({ prompt: fakePrompt(steps), retry: { maxAttempts: 2 } });
    const between = await eventually(async () => {
      const job = await system.server.job(id);
      return job.status === 'scheduled' ? job : null;
    }, PATIENCE);
    expect(between).toMatchObject({ waitReason: 'quota', attempts: 1, finished: false, outcome: null });
    expect(Date.parse(between.scheduledFor ?? '')).toBeGreaterThanOrEqual(limit.resetsAt * 1000);
    expect((await system.server.api('POST', `/v1/jobs/${id}/cancel`)).status).toBe(202);
    expect((await system.server.api('POST', '/v1/providers/claude/resume')).status).toBe(200);
    const job = await system.server.finished(id);
    expect(job).toMatchObject({ status: 'cancelled', attempts: 1 });
    await expectEndedOnce(system.server, job);
  });

  it('by hand is a new job, and a job that is deleted leaves nothing', async () => {
    const system = shared();
    const { server } = system;
    const tags = ['kept'];
    const { job } = await run(system, { prompt: 'again', tags, metadata: { who: 'me' } });
    const change = { from: 'start', metadata: { who: 'you' } };
    const answer = await server.api('POST', `/v1/jobs/${job.id}/retry`, change);
    expect(answer.status).toBe(202);
    const made = (await answer.json()) as Job; // the documented answer
    expect(made).toMatchObject({ retryOf: job.id, prompt: 'again', tags, metadata: { who: 'you' } });
    expect(made.id).not.toBe(job.id);
    expect(await server.finished(made.id)).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'fake: again' },
    });
    expect(await server.job(job.id)).toEqual(job);

    const statuses = async (id: string) => [
      (await server.api('GET', `/v1/jobs/${id}`)).status,
      (await server.api('GET', `/v1/jobs/${id}/events`)).status,
      (await server.api('DELETE', `/v1/jobs/${id}`)).status,
    ];
    expect((await server.api('DELETE', `/v1/jobs/${job.id}`)).status).toBe(204);
    expect(await statuses(job.id)).toEqual([404, 404, 404]);
    const list = await server.api('GET', '/v1/jobs?tag=kept');
    const { data } = (await list.json()) as { data: { id: string }[] }; // the documented answer
    expect(data.map(({ id }) => id)).toEqual([made.id]);
  });
});

it('a CLI that ignores signals is killed at once by force, while the grace of its cancel runs', async () => {
  const system = shared();
  const deaf = system.newFile('deaf');
  const steps = [{ ignore: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, { touch: deaf }, { hang: true }] as const;
  const id = await system.submit({ prompt: fakePrompt(steps) });
  await reached(deaf);
  const cancel = (body: object) => system.server.api('POST', `/v1/jobs/${id}/cancel`, body);
  expect((await cancel({})).status).toBe(202);
  // A grace of ten minutes: only the second request can end it within the test.
  expect((await cancel({ force: true })).status).toBe(202);
  expect(await system.server.finished(id)).toMatchObject({
    status: 'cancelled',
    outcome: { exit: { code: null, signal: 'SIGKILL' }, error: { code: 'execution.cancelled' } },
  });
});

it('a raw request over redis-cli is answered each time it is published, and says which argument is not allowed', async () => {
  const system = shared();
  const before = system.spawns().length;
  const binary = await findTestServer();
  const port = String(system.server.redisPort);
  const { command, env } = findRedisCli(binary);
  const subscriber = spawn(command, ['-p', port, 'SUBSCRIBE', 'claude:cli:responses'], { env });
  onTestFinished(() => {
    subscriber.kill();
  });
  const lines: string[] = [];
  createInterface({ input: subscriber.stdout }).on('line', (line) => lines.push(line));
  await eventually(() => lines.length >= 3, PATIENCE);
  const answers = () =>
    lines
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
      .filter((message) => 'success' in message);
  /** Publishes a request and waits for one more answer. */
  async function ask(request: object): Promise<Record<string, unknown>> {
    const answered = answers().length;
    const receivers = await runRedisCli(binary, [
      '-p',
      port,
      'PUBLISH',
      'claude:cli:requests',
      JSON.stringify(request),
    ]);
    expect(Number(receivers)).toBeGreaterThanOrEqual(1);
    return eventually(() => answers()[answered] ?? null, PATIENCE);
  }

  const request = { id: 'test', prompt: 'Hello', args: ['--print'] };
  expect(await ask(request)).toEqual({ id: 'test', success: true, result: 'fake: Hello' });
  expect(await ask(request)).toEqual({ id: 'test', success: true, result: 'fake: Hello' });

  const json = await ask({ ...request, id: 7, args: ['-p', '--output-format', 'json'] });
  expect(json).toMatchObject({ id: 7, success: true });
  expect(JSON.parse(String(json['result']))).toMatchObject({
    type: 'result',
    subtype: 'success',
    result: 'fake: Hello',
  });

  const refused = await ask({ ...request, args: ['--print', '--add-dir'] });
  expect(refused).toEqual({
    id: 'test',
    success: false,
    error: 'the argument --add-dir is not allowed in a raw request',
  });
  expect(answers()).toHaveLength(4);
  expect(system.spawns()).toHaveLength(before + 3);
});

it('nothing is left, and the next job runs', () => expectWhole(shared()));

/** Waits until the workers have asked for that many executions that have no slot. */
const allSubmitted = (system: FakeSystem, count: number): Promise<void> =>
  eventually(async () => {
    const health = await system.server.api('GET', '/claude-cli/health');
    expect(await health.json()).toMatchObject({ pendingRequests: count });
  }, PATIENCE);
