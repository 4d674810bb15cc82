import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Submission } from '../../../src/protocol/executor-service.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import { NO_BACKGROUND } from '../../../src/remote/executions/without-records.ts';
import { eventually } from '../../helpers/eventually.ts';
import { type ExecutorProgram, launchExecutor, startExecutor } from '../../helpers/executor-program.ts';
import { isAlive, processesWithMarker } from '../../helpers/proc.ts';
import { sharedFromStart, whenOver } from '../../helpers/shared.ts';
import { makeTempDir, removeDir } from '../../helpers/temp.ts';
import { endOf, linesOf, startedPid, submission, textOf } from './submissions.ts';

const shared = sharedFromStart(() =>
  startExecutor({ env: { BULLPEN_CONCURRENCY: '2', BULLPEN_KILL_GRACE_MS: '500' } }),
);
const NOT_HERE = {
  grants: [{ providers: null, tools: null, permissionModes: null, roots: ['/srv'], depth: 0 }],
};
const STOP = { reason: 'cancelled', force: false } as const;

describe('an execution', () => {
  it('runs to its end: its events are followed live, then its outcome', async () => {
    const executor = shared();
    const go = join(executor.dir, 'go-live');
    const steps = [{ delta: 'one ' }, { waitFor: go }, { delta: 'two' }];
    const asked = submission(executor, { steps });
    const { node, execution } = await executor.client.submit(asked);
    expect(execution).toEqual({ id: asked.id, jobId: asked.jobId, state: 'waiting', events: 0 });
    const events = [];
    for await (const line of executor.client.follow(asked.id, 0, AbortSignal.timeout(30_000))) {
      if (line.type !== 'event') continue;
      events.push(line);
      if (textOf(events) === 'one ') break;
    }
    expect((await executor.client.submit(asked)).execution.state).toBe('running');
    writeFileSync(go, '');
    const rest = await linesOf(executor, asked.id, events.length);
    const all = [...events, ...rest.events];
    expect(all.map(({ n }) => n)).toEqual(all.map((_, index) => index + 1));
    expect(textOf(all)).toBe('one two');
    expect(rest.end.outcome).toMatchObject({ status: 'succeeded', executionId: asked.id });
    expect(rest.end.reported).toMatchObject({ finalLine: null, limitedModel: null });
    // From the ledger, with the same numbers.
    expect(await linesOf(executor, asked.id)).toEqual({ events: all, end: rest.end });
    const known = await executor.client.known();
    expect(known.node).toBe(node);
    expect(known.executions).toContainEqual({
      ...{ id: asked.id, jobId: asked.jobId, state: 'ended', events: all.length },
    });
  });

  it('continues the session that its server names', async () => {
    const executor = shared();
    const nativeSessionId = 'f3a1c2d4-0000-4000-8000-000000000001';
    const background = { ...NO_BACKGROUND, session: { nativeSessionId, tokens: null } };
    const asked = submission(executor, { sessionId: '01J00000000000000000000001' }, { background });
    await executor.client.submit(asked);
    expect((await endOf(executor, asked.id)).outcome.status).toBe('succeeded');
    const resumed = executor.journal().flatMap((entry) => (entry.event === 'start' ? [entry.resume] : []));
    expect(resumed.filter((id) => id === nativeSessionId)).toHaveLength(1);
  });

  it('reports the line of a raw job for its answer', async () => {
    const executor = shared();
    const asked = submission(executor, {}, { kind: 'raw', principal: 'raw' });
    await executor.client.submit(asked);
    const { outcome, reported } = await endOf(executor, asked.id);
    expect(JSON.parse(reported.finalLine ?? '')).toMatchObject({ type: 'result', result: outcome.text });
  });

  it.each([
    ['a folder outside of the roots', { cwd: '/' }, {}, 'cwd.not_allowed'],
    ['fullAccess without the setting', { permissionMode: 'fullAccess' }, {}, 'permission_mode.denied'],
    ['a folder that a grant forbids', {}, NOT_HERE, 'cwd.not_allowed'],
    ['what needs a person', { onPermissionDenied: 'ask' }, {}, 'executor.unsupported'],
  ] satisfies [string, Partial<ResolvedPrompt>, Partial<Submission>, string][])(
    'with %s is refused: it starts nothing and has no event',
    async (_, request, rest, code) => {
      const executor = shared();
      const spawned = executor.journal().length;
      const asked = submission(executor, request, rest);
      await executor.client.submit(asked);
      const { events, end } = await linesOf(executor, asked.id);
      expect([events, end.outcome.status, end.outcome.error?.code]).toEqual([[], 'failed', code]);
      expect(executor.journal()).toHaveLength(spawned);
    },
  );

  it('has the limits of its request and of this executor', async () => {
    const executor = shared();
    const slow = submission(executor, { steps: [{ hang: true }], timeoutMs: 700 });
    const loud = submission(executor, {
      ...{ steps: [{ flood: { bytes: 200_000, to: 'stdout', lines: true } }, { hang: true }] },
      limits: { outputBytes: 100_000 },
    });
    await Promise.all([slow, loud].map((one) => executor.client.submit(one)));
    expect((await endOf(executor, slow.id)).outcome.error?.code).toBe('execution.timed_out');
    expect((await endOf(executor, loud.id)).outcome.error?.code).toBe('execution.output_limit');
  });

  it('waits for a free slot, in order', async () => {
    const executor = shared();
    const go = join(executor.dir, 'go-order');
    const asked = ['a', 'b', 'c', 'd'].map((text) =>
      submission(executor, { steps: [{ delta: text }, { waitFor: go }] }),
    );
    for (const one of asked) await executor.client.submit(one);
    const statesOf = async (): Promise<readonly (string | undefined)[]> => {
      const { executions } = await executor.client.known();
      return asked.map(({ id }) => executions.find((one) => one.id === id)?.state);
    };
    await eventually(async () =>
      expect(await statesOf()).toEqual(['running', 'running', 'waiting', 'waiting']),
    );
    writeFileSync(go, '');
    const ended = await Promise.all(asked.map(({ id }) => linesOf(executor, id)));
    expect(ended.map(({ events }) => textOf(events))).toEqual(['a', 'b', 'c', 'd']);
  });
});

describe('a submission', () => {
  it('that comes again changes nothing; another one with its id is refused', async () => {
    const executor = shared();
    const go = join(executor.dir, 'go-again');
    const asked = submission(executor, { steps: [{ waitFor: go }] });
    const other = { ...asked, attempt: 2 };
    await Promise.all([1, 2, 3].map(() => executor.client.submit(asked)));
    await expect(executor.client.submit(other)).rejects.toMatchObject({ code: 'execution.id_reused' });
    writeFileSync(go, '');
    const { events, end } = await linesOf(executor, asked.id);
    expect(end.outcome.status).toBe('succeeded');
    expect(events.filter(({ event }) => event.kind === 'execution.started')).toHaveLength(1);
    expect((await executor.client.submit(asked)).execution).toMatchObject({ state: 'ended' });
    await expect(executor.client.submit(other)).rejects.toMatchObject({ code: 'execution.id_reused' });
    expect((await linesOf(executor, asked.id)).events).toHaveLength(events.length);
  });
});

describe('a cancel', () => {
  it('ends an execution that waits, before it starts', async () => {
    const executor = shared();
    const go = join(executor.dir, 'go-cancel');
    const others = [1, 2].map(() => submission(executor, { steps: [{ waitFor: go }] }));
    for (const one of others) await executor.client.submit(one);
    const asked = submission(executor);
    await executor.client.submit(asked);
    const { execution } = await executor.client.cancel(asked.id, STOP);
    expect(execution.state).toBe('ended');
    const { events, end } = await linesOf(executor, asked.id);
    expect([events, end.outcome.error?.code]).toEqual([[], 'execution.cancelled']);
    writeFileSync(go, '');
    for (const { id } of others) expect((await endOf(executor, id)).outcome.status).toBe('succeeded');
  });

  it.each([
    ['cancelled', 'execution.cancelled'],
    ['interrupted', 'execution.interrupted'],
  ] as const)('ends an execution that runs: %s', async (reason, code) => {
    const executor = shared();
    const asked = submission(executor, { steps: [{ hang: true }] });
    await executor.client.submit(asked);
    const pid = await startedPid(executor, asked.id);
    await executor.client.cancel(asked.id, { reason, force: false });
    expect((await endOf(executor, asked.id)).outcome).toMatchObject({
      ...{ status: 'cancelled', error: { code } },
    });
    await eventually(() => expect(isAlive(pid)).toBe(false));
  });

  it('changes nothing after the end', async () => {
    const executor = shared();
    const asked = submission(executor);
    await executor.client.submit(asked);
    const before = await linesOf(executor, asked.id);
    const { execution } = await executor.client.cancel(asked.id, { ...STOP, force: true });
    expect(execution).toMatchObject({ state: 'ended', events: before.events.length });
    expect(await linesOf(executor, asked.id)).toEqual(before);
  });

  it('of an unknown id is remembered: the submission that comes later starts nothing', async () => {
    const executor = shared();
    const asked = submission(executor);
    expect((await executor.client.cancel(asked.id, STOP)).execution.state).toBe('ended');
    expect((await executor.client.submit(asked)).execution.state).toBe('ended');
    const { events, end } = await linesOf(executor, asked.id);
    expect([events, end.outcome.error?.code]).toEqual([[], 'execution.cancelled']);
  });

  it('that comes together with its submission leaves one end', async () => {
    const executor = shared();
    const asked = Array.from({ length: 20 }, () => submission(executor, { steps: [{ hang: true }] }));
    await Promise.all(
      asked.flatMap((one) => [executor.client.submit(one), executor.client.cancel(one.id, STOP)]),
    );
    const ended = await Promise.all(asked.map(({ id }) => endOf(executor, id)));
    for (const { outcome } of ended) expect(outcome.error?.code).toBe('execution.cancelled');
  });
});

const CLEAN = { code: 0, signal: null };
/** Longer than any test may take. */
const EVER_MS = '600000';
const STOPPING = 'stopping; a second signal';
const RUNNING = [{ delta: 'so far' }, { hang: true }] as const;

const startsOf = (executor: ExecutorProgram) => executor.journal().filter(({ event }) => event === 'start');

async function running(executor: ExecutorProgram) {
  const asked = submission(executor, { steps: RUNNING });
  await executor.client.submit(asked);
  const pid = await startedPid(executor, asked.id);
  await eventually(async () => {
    const { executions } = await executor.client.known();
    expect(executions.find(({ id }) => id === asked.id)?.events).toBeGreaterThanOrEqual(3);
  });
  return { asked, pid };
}

describe('an executor that ends and starts again', () => {
  const shared = sharedFromStart(async () => {
    const dir = makeTempDir();
    let executor = await launchExecutor({ dir });
    whenOver(async () => {
      await executor.stop();
      removeDir(dir);
    });
    return {
      dir,
      get executor() {
        return executor;
      },
      /** Its next life in the same folder. */
      async restart(env: Readonly<Record<string, string>>) {
        executor = await launchExecutor({ dir, env });
        return executor;
      },
    };
  });

  it('after kill -9 settles what ran as lost, with its events; nothing is left running', async () => {
    const { executor, dir, restart } = shared();
    const done = submission(executor);
    await executor.client.submit(done);
    const before = await linesOf(executor, done.id);
    const { asked, pid } = await running(executor);
    const { node } = executor.client;
    await executor.kill('SIGKILL');

    const again = await restart({ BULLPEN_CONCURRENCY: '1' });
    expect(again.client.node).toBe(null);
    const { events, end } = await linesOf(again, asked.id);
    expect(again.client.node).toBe(node);
    expect(textOf(events)).toBe('so far');
    expect(end.outcome).toMatchObject({
      status: 'failed',
      error: { code: 'execution.lost' },
      text: 'so far',
    });
    expect(isAlive(pid)).toBe(false);
    const nodeId = readFileSync(join(dir, 'data', 'node-id'), 'utf8').trim();
    expect(processesWithMarker(`${nodeId}/`)).toEqual([]);
    // What had ended is known as before, and neither is started again.
    expect(await linesOf(again, done.id)).toEqual(before);
    for (const one of [asked, done]) expect((await again.client.submit(one)).execution.state).toBe('ended');
    await expect(again.client.submit({ ...done, attempt: 2 })).rejects.toMatchObject({
      code: 'execution.id_reused',
    });
    expect(startsOf(again)).toHaveLength(2);
  });

  it('at a stop lets what runs end, and its server read that; what waits can be sent again', async () => {
    const { executor, dir, restart } = shared();
    const before = startsOf(executor).length;
    const go = join(dir, 'go');
    const runs = submission(executor, { steps: [{ waitFor: go }, { delta: 'end' }] });
    const waits = submission(executor);
    await executor.client.submit(runs);
    await executor.client.submit(waits);
    await startedPid(executor, runs.id);
    const following = linesOf(executor, runs.id);
    executor.signal('SIGTERM');
    await eventually(() => expect(executor.log()).toContain(STOPPING));
    await expect(executor.client.submit(submission(executor))).rejects.toMatchObject({
      code: 'server.stopping',
    });
    await expect(linesOf(executor, waits.id)).rejects.toMatchObject({ code: 'execution.not_found' });
    writeFileSync(go, '');
    expect((await following).end.outcome.status).toBe('succeeded');
    expect(await executor.kill('SIGTERM')).toEqual(CLEAN);

    const again = await restart({ BULLPEN_DRAIN_MS: '100', BULLPEN_KILL_GRACE_MS: '100' });
    await again.client.submit(waits);
    expect((await endOf(again, waits.id)).outcome.status).toBe('succeeded');
    expect(startsOf(again)).toHaveLength(before + 2);
  });

  it('at a stop ends what runs longer than the drain time', async () => {
    const { executor, restart } = shared();
    const { asked, pid } = await running(executor);
    expect(await executor.kill('SIGTERM')).toEqual(CLEAN);
    expect(isAlive(pid)).toBe(false);
    const again = await restart({ BULLPEN_DRAIN_MS: EVER_MS, BULLPEN_KILL_GRACE_MS: EVER_MS });
    expect((await endOf(again, asked.id)).outcome.error?.code).toBe('execution.lost');
  });

  it('skips the grace at a cancel that comes again with force', async () => {
    const { executor } = shared();
    const asked = submission(executor, {
      steps: [{ ignore: ['SIGTERM', 'SIGINT'] }, { delta: 'x' }, { hang: true }],
    });
    await executor.client.submit(asked);
    for await (const line of executor.client.follow(asked.id, 0, AbortSignal.timeout(30_000)))
      if (line.type === 'event' && line.event.kind === 'text.delta') break;
    await executor.client.cancel(asked.id, STOP);
    await executor.client.cancel(asked.id, { ...STOP, force: true });
    expect((await endOf(executor, asked.id)).outcome.error?.code).toBe('execution.cancelled');
  });

  it('at a second signal skips the drain time and the grace', async () => {
    const { executor } = shared();
    const { pid } = await running(executor);
    executor.signal('SIGTERM');
    await eventually(() => expect(executor.log()).toContain(STOPPING));
    expect(await executor.kill('SIGTERM')).toEqual(CLEAN);
    expect(isAlive(pid)).toBe(false);
  });

  it('without its ledger is another one, also in the same data folder', async () => {
    const { executor, dir, restart } = shared();
    const { node } = executor.client;
    for (const name of ['executor.db', 'executor.db-wal', 'executor.db-shm'])
      rmSync(join(dir, 'data', name), { force: true });
    const again = await restart({ BULLPEN_CONCURRENCY: '1', BULLPEN_WARM_PROCESSES: '2' });
    expect(await again.client.known()).toEqual({ node: expect.any(String), executions: [] });
    expect(node).not.toBeNull();
    expect(again.client.node).not.toBe(node);
  });

  it('boots the processes of the next executions while the slots are taken', async () => {
    const { executor, dir } = shared();
    const before = startsOf(executor).length;
    const go = join(dir, 'go-on');
    const asked = [[{ waitFor: go }], [], []].map((steps) => submission(executor, { steps }));
    for (const one of asked) await executor.client.submit(one);
    await eventually(() => expect(startsOf(executor).length).toBeGreaterThanOrEqual(before + 2));
    writeFileSync(go, '');
    const ended = await Promise.all(asked.map(({ id }) => linesOf(executor, id)));
    const starts = ended.flatMap(({ events }) =>
      events.flatMap(({ event }) => (event.kind === 'execution.started' ? [event.start] : [])),
    );
    expect(starts.slice(1)).toEqual(['warm', 'warm']);
  });
});
