/** How jobs end and in which order they run, over HTTP, with a CLI that follows a script. */
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt, journalOf } from '../helpers/fake-cli.ts';
import { isAlive } from '../helpers/proc.ts';
import {
  expectEndedOnce,
  expectWhole,
  type FakeSystem,
  PATIENCE,
  reached,
  startFakeSystem,
} from './fake-system.ts';

const failed = (code: string, outcome: object = {}): object => ({
  status: 'failed',
  attempts: 1,
  outcome: { ...outcome, error: { code } },
});
const ORDERED = { BULLPEN_CONCURRENCY: '1', BULLPEN_WORKERS: '8' };

/** Runs a prompt to its end and checks that it has ended once. */
async function run(system: FakeSystem, request: Parameters<FakeSystem['submit']>[0]): Promise<Job> {
  const job = await system.server.finished(await system.submit(request));
  await expectEndedOnce(system.server, job);
  return job;
}

/** Takes the only slot until it is let go. */
async function block(system: FakeSystem): Promise<{ release(): Promise<void> }> {
  const [started, go] = [system.path('blocking'), system.path('go')];
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

describe('a CLI that ends badly', () => {
  it('is distinguished: no result, an exit code, a signal, its own error', async () => {
    const system = await startFakeSystem();
    const ends = await Promise.all([
      run(system, { prompt: fakePrompt([{ exit: 0 }]) }),
      run(system, { prompt: fakePrompt([{ stderr: 'no such thing\n' }, { exit: 1 }]) }),
      run(system, { prompt: fakePrompt([{ delta: 'half' }, { kill: 'SIGSEGV' }]) }),
      run(system, { prompt: fakePrompt([{ result: { is_error: true, result: 'it broke' } }]) }),
    ]);
    expect(ends).toMatchObject([
      failed('execution.bad_output', { exit: { code: 0, signal: null }, text: '' }),
      failed('execution.crashed', { exit: { code: 1, signal: null } }),
      failed('execution.crashed', { exit: { code: null, signal: 'SIGSEGV' }, text: 'half' }),
      failed('execution.crashed', { exit: { code: 1, signal: null } }),
    ]);
    expect(ends[1]?.outcome?.error?.message).toContain('no such thing');
    expect(ends[3]?.outcome?.error?.message).toContain('it broke');
    expect(system.spawns()).toHaveLength(4);
    await expectWhole(system);
  });

  it('is stopped at the output cap, on either stream, and the server goes on', async () => {
    const system = await startFakeSystem({ env: { BULLPEN_MAX_OUTPUT_BYTES: String(1024 * 1024) } });
    const bytes = 64 * 1024 * 1024;
    const ends = await Promise.all([
      run(system, { prompt: fakePrompt([{ flood: { bytes, to: 'stdout', lines: true } }]) }),
      run(system, { prompt: fakePrompt([{ flood: { bytes, to: 'stdout' } }]) }),
      run(system, { prompt: fakePrompt([{ flood: { bytes, to: 'stderr' } }]) }),
    ]);
    for (const job of ends) expect(job).toMatchObject(failed('execution.output_limit'));
    await expectWhole(system);
  });

  it('is killed after the grace when it ignores signals, and at once by force', async () => {
    const system = await startFakeSystem({ env: { BULLPEN_KILL_GRACE_MS: '600000' } });
    const [deaf, deafToo] = [system.path('deaf'), system.path('deaf-too')];
    const stubborn = (file: string) =>
      fakePrompt([{ ignore: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, { touch: file }, { hang: true }]);
    const id = await system.submit({ prompt: stubborn(deaf) });
    await reached(deaf);
    const cancel = (body: object) => system.server.api('POST', `/v1/jobs/${id}/cancel`, body);
    expect((await cancel({})).status).toBe(202);
    // A grace of ten minutes: only the second request can end it within the test.
    expect((await cancel({ force: true })).status).toBe(202);
    const forced = await system.server.finished(id);
    expect(forced).toMatchObject({
      status: 'cancelled',
      outcome: { exit: { code: null, signal: 'SIGKILL' }, error: { code: 'execution.cancelled' } },
    });

    const patient = await startFakeSystem({ env: { BULLPEN_KILL_GRACE_MS: '300' } });
    const killed = await run(patient, { prompt: stubborn(deafToo), timeoutMs: 2000 });
    expect(killed).toMatchObject(failed('execution.timed_out', { exit: { code: null, signal: 'SIGKILL' } }));
    expect(journalOf(patient.path('journal.jsonl'), 'signal').map(({ signal }) => signal)).toEqual([
      'SIGTERM',
    ]);
    await expectWhole(patient);
    await expectWhole(system);
  });
});

describe('a CLI that leaves something behind', () => {
  it.each([
    ['a child that holds its output open', { holdPipe: true }, ['leaked_pipe']],
    ['a daemon in a session of its own', { setsid: true, double: true }, []],
    ['a daemon that holds its output open', { setsid: true, double: true, holdPipe: true }, ['leaked_pipe']],
  ])('succeeds, and %s is ended', async (_what, step, warnings) => {
    const system = await startFakeSystem();
    const job = await system.server.finished(
      await system.submit({ prompt: fakePrompt([{ spawn: step }, { delta: 'done' }]) }),
    );
    expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'done', exit: { code: 0 } } });
    const events = await expectEndedOnce(system.server, job);
    const codes = events.flatMap((event) => (event.kind === 'warning' ? [event.code] : []));
    expect(codes).toEqual(warnings);
    await expectWhole(system);
    const [left] = journalOf(system.path('journal.jsonl'), 'spawned');
    expect(isAlive(left?.child ?? expect.unreachable())).toBe(false);
  });

  it('succeeds when it says its result and never exits', async () => {
    const system = await startFakeSystem({ env: { BULLPEN_LINGER_MS: '200' } });
    const prompt = fakePrompt([{ delta: 'done' }, { result: {} }, { hang: true }]);
    const job = await run(system, { prompt });
    expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'done', error: null } });
    await expectWhole(system);
  });
});

describe('a job that waits', () => {
  it('longer than its ttlMs expires without a spawn', async () => {
    const system = await startFakeSystem({ env: ORDERED });
    const blocker = await block(system);
    const job = await run(system, { prompt: 'too late', ttlMs: 200 });
    expect(job).toMatchObject({
      status: 'failed',
      attempts: 0,
      outcome: { error: { code: 'queue.expired' } },
    });
    await blocker.release();
    expect(system.spawns()).toHaveLength(1);
    await expectWhole(system);
  });

  it('runs by priority, and among equals in the order it came', async () => {
    const system = await startFakeSystem({ env: ORDERED });
    const blocker = await block(system);
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
    await blocker.release();
    const jobs = await Promise.all(ids.map((id) => system.server.finished(id)));
    expect(inOrderOfStart(jobs)).toEqual(['highest', 'high', 'first', 'second', 'low']);
    await expectWhole(system);
  });

  it('for its concurrencyKey runs alone and in order, and others do not wait for it', async () => {
    const system = await startFakeSystem({ env: { BULLPEN_CONCURRENCY: '3', BULLPEN_WORKERS: '10' } });
    const keyed = (key: string, name: string) =>
      system.submit({
        prompt: fakePrompt([{ delta: name }, { sleepMs: 20 }]),
        tags: [name],
        concurrencyKey: key,
      });
    const a: string[] = [];
    for (let i = 1; i <= 6; i += 1) a.push(await keyed('a', `a${i}`));
    const b: string[] = [];
    for (let i = 1; i <= 3; i += 1) b.push(await keyed('b', `b${i}`));
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
    expect(system.spawns()).toHaveLength(9);
    await expectWhole(system);
  });

  it('for its delayMs is scheduled and then runs', async () => {
    const system = await startFakeSystem();
    const id = await system.submit({ prompt: 'later', delayMs: 1500 });
    const waiting = await system.server.job(id);
    expect(waiting).toMatchObject({ status: 'scheduled', waitReason: 'delayed', startedAt: null });
    const dueAt = Date.parse(waiting.createdAt) + 1500;
    expect(Math.abs(Date.parse(waiting.scheduledFor ?? '') - dueAt)).toBeLessThan(1000);
    const job = await system.server.finished(id);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1, waitReason: null, scheduledFor: null });
    expect(Date.parse(job.startedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(waiting.scheduledFor ?? ''));
    const events = await expectEndedOnce(system.server, job);
    expect(events.slice(0, 3).map(({ kind }) => kind)).toEqual([
      'job.scheduled',
      'job.queued',
      'job.running',
    ]);
    await expectWhole(system);
  });
});

describe('a job that is tried again', () => {
  const OVERLOADED = { result: { is_error: true, api_error_status: 529, result: 'Overloaded' } };

  it('waits as scheduled between its attempts and keeps one stream of events over them', async () => {
    const system = await startFakeSystem({ env: { BULLPEN_RETRY_BACKOFF_MS: '4000' } });
    const prompt = fakePrompt([{ delta: 'trying' }, OVERLOADED]);
    const id = await system.submit({ prompt, retry: { maxAttempts: 2 } });
    const between = await waitFor(system, id, ({ status }) => status === 'scheduled');
    expect(between).toMatchObject({ waitReason: 'backoff', attempts: 1, finished: false, outcome: null });
    expect(Date.parse(between.scheduledFor ?? '')).toBeGreaterThan(Date.parse(between.startedAt ?? ''));

    const job = await system.server.finished(id);
    expect(job).toMatchObject({
      status: 'failed',
      attempts: 2,
      outcome: { error: { code: 'execution.overloaded', retryable: true } },
    });
    const events = await expectEndedOnce(system.server, job);
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
    expect(frame[4]).toMatchObject({ waitReason: 'backoff', scheduledFor: between.scheduledFor });
    expect(events.filter(({ kind }) => kind === 'text.delta').map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(new Set(system.spawns()).size).toBe(2);
    await expectWhole(system);
  });

  it('is not tried again after an ending that would only come again', async () => {
    const system = await startFakeSystem();
    const refused = { result: { is_error: true, api_error_status: 401, result: 'Invalid API key' } };
    const job = await run(system, { prompt: fakePrompt([refused]), retry: { maxAttempts: 3 } });
    expect(job).toMatchObject(failed('auth.required', {}));
    expect(system.spawns()).toHaveLength(1);
  });

  it('can be cancelled between its attempts', async () => {
    const system = await startFakeSystem({ env: { BULLPEN_RETRY_BACKOFF_MS: '600000' } });
    const id = await system.submit({ prompt: fakePrompt([OVERLOADED]), retry: { maxAttempts: 2 } });
    await waitFor(system, id, ({ status }) => status === 'scheduled');
    expect((await system.server.api('POST', `/v1/jobs/${id}/cancel`)).status).toBe(202);
    const job = await system.server.finished(id);
    expect(job).toMatchObject({ status: 'cancelled', attempts: 1 });
    await expectEndedOnce(system.server, job);
    await expectWhole(system);
  });

  it('by hand is a new job, and a job that is deleted leaves nothing', async () => {
    const system = await startFakeSystem();
    const { server } = system;
    const job = await run(system, { prompt: 'again', tags: ['kept'], metadata: { who: 'me' } });
    const answer = await server.api('POST', `/v1/jobs/${job.id}/retry`, { metadata: { who: 'you' } });
    expect(answer.status).toBe(202);
    const made = (await answer.json()) as Job; // the documented answer
    expect(made).toMatchObject({
      retryOf: job.id,
      prompt: 'again',
      tags: ['kept'],
      metadata: { who: 'you' },
    });
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
    const { data } = (await (await server.api('GET', '/v1/jobs')).json()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual([made.id]);
    expect(system.spawns()).toHaveLength(2);
  });
});

/** The job when it first has this status. */
const waitFor = (system: FakeSystem, id: string, ready: (job: Job) => boolean): Promise<Job> =>
  eventually(async () => {
    const job = await system.server.job(id);
    return ready(job) ? job : null;
  }, PATIENCE);

/** Waits until the workers have asked for that many executions that have no slot. */
const allSubmitted = (system: FakeSystem, count: number): Promise<void> =>
  eventually(async () => {
    const health = await system.server.api('GET', '/claude-cli/health');
    expect(await health.json()).toMatchObject({ pendingRequests: count });
  }, PATIENCE);
