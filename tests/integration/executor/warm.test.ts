/** Idle processes, under a whole executor with the fake CLI. */
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { wireError } from '../../../src/errors.ts';
import type { ExecutionLimits } from '../../../src/executor/execute.ts';
import type { WarmSettings } from '../../../src/executor/warm/cli-starter.ts';
import type { Launch } from '../../../src/processes/launch.ts';
import { readStat } from '../../../src/processes/proc-entry.ts';
import { createProcScanner } from '../../../src/processes/proc-scanner.ts';
import type { Exit } from '../../../src/protocol/cli.ts';
import { jobOutcome } from '../../../src/protocol/outcome.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { launch } from '../../helpers/launcher.ts';
import { executorBench, KNOWN_SESSION, NATIVE_SESSION, OTHER_SESSION } from './bench.ts';

const CANCELLED = jobOutcome('cancelled', wireError('execution.cancelled', 'by the test'));
const HOUR = 3_600_000;
const WARM: WarmSettings = { maxProcesses: 4, idleMs: HOUR, sessionIdleMs: HOUR };

const INIT = JSON.stringify({ type: 'system', subtype: 'init', session_id: NATIVE_SESSION });
/** The CLI's report of its background tasks. */
const tasks = (list: readonly object[]) => ({
  line: JSON.stringify({ type: 'system', subtype: 'background_tasks_changed', tasks: list }),
});

type Bench = Awaited<ReturnType<typeof executorBench>>;

/** How its execution started, and in which process. */
async function startOf(bench: Bench, id: string) {
  const events = await bench.rpc.records.events(id, 0, 1000);
  const started = events.findLast((event) => event.kind === 'execution.started');
  if (started === undefined) throw new Error(`${id} has not started`);
  return { start: started.start, pid: started.pid };
}

async function open(
  settings: Partial<WarmSettings> = {},
  concurrency = 2,
  limits: Partial<ExecutionLimits> = {},
  rest: Parameters<Bench['open']>[0] = {},
) {
  const bench = await executorBench();
  const executor = bench.open(
    { warm: { ...WARM, ...settings }, concurrency, ...rest },
    { lingerMs: 5000, killGraceMs: 5000, ...limits },
  );
  await executor.start();
  /** Runs a job to its end. */
  const run = async (request: Parameters<Bench['submit']>[0] = {}) => {
    const id = await bench.submit(request);
    executor.kick();
    const record = await bench.finished(id);
    return { id, outcome: record.outcome, ...(await startOf(bench, id)) };
  };
  const waiting = (count: number) => bench.until(() => executor.starts().waiting === count);
  const sessions = (count: number) => bench.until(() => executor.starts().sessions === count);
  /** Waits until the last started process is ready. */
  const ready = async (count = 1): Promise<number> => {
    await waiting(count);
    await bench.until(() => bench.started().length > bench.prompts().length);
    const last = bench.started().at(-1);
    if (last === undefined) throw new Error('no process was started');
    return last.pid;
  };
  return { bench, executor, run, waiting, sessions, ready };
}

/** A launch whose last process can be lost, as when its launcher dies. */
function losable() {
  let lose = (): void => expect.unreachable();
  const losing: Launch = async (request, stop) => {
    const child = await launch(request, stop);
    const onExit: ((exit: Exit) => void)[] = [];
    let lost = false;
    lose = () => {
      lost = true;
      for (const listener of onExit) listener({ code: null, signal: null });
    };
    return Object.create(child, {
      lost: { get: () => lost },
      onExit: { value: (listener: (exit: Exit) => void) => onExit.push(listener) },
    });
  };
  return { launch: losing, lose: () => lose() };
}

describe('an idle process of the pool', () => {
  it('runs the next job of its shape, and no job after that', async () => {
    const { bench, run, ready } = await open();
    const first = await run();
    expect(first.start).toBe('cold');
    const pid = await ready();
    const second = await run({ steps: [{ delta: 'the answer' }] });
    expect(second).toMatchObject({
      start: 'warm',
      pid,
      outcome: { status: 'succeeded', text: 'the answer' },
    });
    expect(second.outcome?.exit).toEqual({ code: 0, signal: null });
    await ready();
    const third = await run();
    expect(third.start).toBe('warm');
    expect(new Set([first.pid, second.pid, third.pid]).size).toBe(3);
    expect(bench.prompts().map((entry) => entry.pid)).toEqual([first.pid, second.pid, third.pid]);
  });

  it('has a marker and a temporary folder of its own, and both are gone after its job', async () => {
    const { bench, run, ready } = await open();
    const cold = await run();
    const pid = await ready();
    const warm = await run();
    const marker = (of: number) => bench.started().find((entry) => entry.pid === of)?.marker;
    expect(marker(cold.pid)).toBe(`${bench.nodeId}/e-${cold.id}`);
    expect(marker(pid)).toMatch(new RegExp(`^${bench.nodeId}/[0-9A-Z]{26}$`));
    expect(warm.pid).toBe(pid);
    const own = marker(pid)?.split('/')[1] ?? '';
    await bench.until(() => !bench.exists(join('scratch', own)));
  });

  it.each([
    ['another model', { model: 'other' }],
    ['a prompt that names a file', { prompt: fakePrompt([], 'look at @file') }],
  ])('is not for a job with %s', async (_what, request) => {
    const { run, ready } = await open();
    await run();
    await ready();
    expect((await run(request)).start).toBe('cold');
  });

  it('is not for a job when something it has read was changed', async () => {
    const { bench, run, ready, executor } = await open();
    await run();
    const pid = await ready();
    writeFileSync(join(bench.workspace, 'CLAUDE.md'), 'Be brief.');
    const next = await run();
    expect(next.start).toBe('cold');
    expect(next.pid).not.toBe(pid);
    await bench.until(() => !bench.alive(pid));
    expect(executor.starts().started).toEqual({ cold: 2, warm: 0, session: 0 });
  });

  it.each([
    ['one of the pool', {}],
    ['that of a session', { sessionId: KNOWN_SESSION }],
  ])('serves no job once its CLI was updated: %s', async (_what, request) => {
    const { bench, run, ready, sessions } = await open();
    await run(request);
    const pid = await ('sessionId' in request
      ? sessions(1).then(() => bench.started().at(-1)?.pid)
      : ready());
    const binary = bench.file('bin/claude');
    copyFileSync(binary, `${binary}.new`);
    renameSync(`${binary}.new`, binary);
    const next = await run(request);
    expect(next).toMatchObject({ start: 'cold', outcome: { status: 'succeeded' } });
    await bench.until(() => !bench.alive(pid ?? 0));
  });

  it.each([
    ['one of the pool', {}],
    ['that of a session', { sessionId: KNOWN_SESSION }],
  ])('serves no job once its folder was moved elsewhere: %s', async (_what, request) => {
    const { bench, run, ready, sessions } = await open();
    await run(request);
    const pid = await ('sessionId' in request
      ? sessions(1).then(() => bench.started().at(-1)?.pid)
      : ready());
    renameSync(bench.workspace, bench.file('moved'));
    mkdirSync(bench.workspace);
    const next = await run(request);
    expect(next).toMatchObject({ start: 'cold', outcome: { status: 'succeeded' } });
    expect(bench.started().find((one) => one.pid === next.pid)?.cwd).toBe(bench.workspace);
    await bench.until(() => !bench.alive(pid ?? 0));
  });

  it('is replaced when something it has read was changed while nothing runs', async () => {
    const { bench, run, ready } = await open();
    await run();
    const pid = await ready();
    writeFileSync(join(bench.workspace, 'CLAUDE.md'), 'Be brief.');
    await bench.until(() => !bench.alive(pid) && bench.started().length === 3);
    const fresh = await ready();
    expect(await run()).toMatchObject({ start: 'warm', pid: fresh });
  });

  it('is replaced when it dies', async () => {
    const { bench, run, ready } = await open();
    await run();
    const pid = await ready();
    process.kill(pid, 'SIGKILL');
    await bench.until(() => bench.started().length === 3);
    const fresh = await ready();
    expect(fresh).not.toBe(pid);
    expect(await run()).toMatchObject({ start: 'warm', pid: fresh });
  });

  it('that is stopped runs no job', async () => {
    const { bench, run, ready } = await open();
    await run();
    const pid = await ready();
    process.kill(pid, 'SIGSTOP');
    await bench.until(() => readStat(pid)?.state === 'T');
    const next = await run();
    expect(next).toMatchObject({ start: 'cold', outcome: { status: 'succeeded' } });
    await bench.until(() => !bench.alive(pid));
  });

  it('that exits after its prompt without a line leaves the job to another process', async () => {
    const { bench, run, ready } = await open();
    const model = 'fake:silent';
    const silent = (steps: Parameters<typeof fakePrompt>[0]) => run({ model, steps });
    await silent([{ result: {} }]);
    const pid = await ready();
    const next = await silent([{ exitUnless: bench.file('once') }, { result: { result: 'done' } }]);
    expect(next).toMatchObject({ start: 'cold', outcome: { status: 'succeeded' } });
    expect(next.pid).not.toBe(pid);
    expect(bench.prompts().map((entry) => entry.pid)).toEqual([expect.any(Number), pid, next.pid]);
  });

  it('is watched and can be cancelled like any other process', async () => {
    const { bench, executor, run, ready } = await open();
    await run();
    const pid = await ready();
    const id = await bench.submit({ steps: [{ touch: bench.file('runs') }, { hang: true }] });
    executor.kick();
    await bench.until(() => bench.exists('runs'));
    await bench.until(() => executor.processes().some((one) => one.pid === pid && one.memoryBytes !== null));
    await bench.rpc.records.cancel(id, true, CANCELLED);
    executor.lookAtCancel(id);
    const { outcome } = await bench.finished(id);
    expect(outcome?.status).toBe('cancelled');
    expect(await startOf(bench, id)).toEqual({ start: 'warm', pid });
    await bench.until(() => !bench.alive(pid));
  });

  it('is ended by its id or its provider, and none is started until a job like it', async () => {
    const { bench, executor, run, ready } = await open();
    await run();
    const pid = await ready();
    const [idle = expect.unreachable()] = executor.processes();
    expect(idle).toMatchObject({ state: 'idle', provider: 'claude', pid, jobId: null, sessionId: null });
    expect(await executor.endIdle(({ provider }) => provider === 'codex', false)).toBe(0);
    expect(await executor.endIdle(({ id }) => id === idle.id, false)).toBe(1);
    expect(bench.alive(pid)).toBe(false);
    expect(executor.processes()).toEqual([]);
    const started = bench.started().length;
    expect((await run()).start).toBe('cold');
    await bench.until(() => bench.started().length === started + 2);
    expect(await executor.endIdle(({ provider }) => provider === 'claude', false)).toBe(1);
  });

  it('is stopped after its idle time, and with the executor', async () => {
    const short = await open({ idleMs: 1 });
    const { pid: used } = await short.run();
    // It may have waited and ended already.
    const idle = () => short.bench.started().find(({ pid }) => pid !== used);
    await short.bench.until(() => idle() !== undefined && !short.bench.alive(idle()?.pid ?? 0));
    expect(short.executor.starts().waiting).toBe(0);

    const { bench, executor, run, ready } = await open();
    await run();
    const pid = await ready();
    await executor.stop(0);
    expect(bench.alive(pid)).toBe(false);
  });

  it('is not started when the settings allow none', async () => {
    const { bench, run, executor } = await open({ maxProcesses: 0 });
    await run();
    await run();
    expect(executor.starts()).toEqual({ started: { cold: 2, warm: 0, session: 0 }, waiting: 0, sessions: 0 });
    expect(bench.started()).toHaveLength(2);
  });
});

describe('looking ahead', () => {
  it('starts a process for a job that waits for a slot', async () => {
    const { bench, executor, ready } = await open({}, 1);
    const holding = await bench.submit({ steps: [{ waitFor: bench.file('go') }] });
    executor.kick();
    await bench.until(() => bench.prompts().length === 1);
    const next = await bench.submit();
    executor.kick();
    const pid = await ready();
    bench.touch('go');
    await bench.finished(holding);
    await bench.finished(next);
    expect(await startOf(bench, next)).toEqual({ start: 'warm', pid });
  });

  it('starts one process per queued job, up to the maximum', async () => {
    const { bench, executor, waiting } = await open({ maxProcesses: 2 }, 1);
    const all = [await bench.submit({ steps: [{ waitFor: bench.file('go') }] })];
    executor.kick();
    await bench.spawned(1);
    for (let i = 0; i < 4; i += 1) all.push(await bench.submit());
    executor.kick();
    await waiting(2);
    bench.touch('go');
    for (const id of all) await bench.finished(id);
    expect(executor.starts().started).toMatchObject({ warm: 4 });
  });

  it('starts nothing for a record with an invalid request', async () => {
    const { bench, executor } = await open({}, 1);
    const holding = await bench.submit({ steps: [{ waitFor: bench.file('go') }] });
    executor.kick();
    await bench.spawned(1);
    const wrong = await bench.submit({ effort: 7 as never }); // as another program may write it
    let asked = 0;
    await bench.until(() => {
      executor.kick();
      asked += 1;
      return asked > 100;
    });
    bench.touch('go');
    await bench.finished(holding);
    expect((await bench.finished(wrong)).outcome?.error?.code).toBe('execution.invalid_request');
    // Others may be idle by now, like the last job.
    expect(bench.started().flatMap(({ argv }) => argv)).not.toContain('--effort=7');
  });
});

describe('a cold start', () => {
  it('waits while as many CLIs boot as there are processors, and can be cancelled', async () => {
    const cores = availableParallelism();
    const { bench, executor } = await open({ maxProcesses: 0 }, cores + 2);
    const booting: string[] = [];
    for (let i = 0; i < cores; i += 1)
      booting.push(await bench.submit({ model: 'fake:silent', steps: [{ waitFor: bench.file('go') }] }));
    executor.kick();
    await bench.spawned(cores);
    const next = await bench.submit({ steps: [{ delta: 'its turn' }] });
    executor.kick();
    const unwanted = await bench.submit();
    executor.kick();
    await bench.until(() => executor.status().running === cores + 2);
    await bench.rpc.records.cancel(unwanted, false, CANCELLED);
    executor.lookAtCancel(unwanted);
    expect((await bench.finished(unwanted)).outcome?.error?.code).toBe('execution.cancelled');
    expect(bench.started()).toHaveLength(cores);

    bench.touch('go');
    expect((await bench.finished(next)).outcome).toMatchObject({ status: 'succeeded', text: 'its turn' });
    for (const id of booting) await bench.finished(id);
    const events = bench.journal().map(({ event }) => event);
    expect(events.indexOf('end')).toBeLessThan(events.lastIndexOf('start'));
    expect(bench.started()).toHaveLength(cores + 1);
  });
});

describe('the process of a session', () => {
  const turn = { sessionId: KNOWN_SESSION };

  it('runs the next turn, each with an outcome and a cost of its own', async () => {
    const { bench, run, sessions } = await open();
    const first = await run({ ...turn, steps: [{ delta: 'one' }] });
    await sessions(1);
    const second = await run({ ...turn, steps: [{ delta: 'two' }] });
    const third = await run({ ...turn, steps: [{ delta: 'three' }] });
    expect([first.start, second.start, third.start]).toEqual(['cold', 'session', 'session']);
    expect(new Set([first.pid, second.pid, third.pid]).size).toBe(1);
    expect([first, second, third].map(({ outcome }) => outcome?.text)).toEqual(['one', 'two', 'three']);
    for (const { outcome } of [first, second, third]) {
      expect(outcome).toMatchObject({ status: 'succeeded', sessionId: KNOWN_SESSION, turns: 1 });
      expect(outcome?.exit).toEqual({ code: null, signal: null });
      expect(outcome?.usage).toEqual(first.outcome?.usage);
    }
    expect(bench.started()).toHaveLength(1);
  });

  it('that is lost stops its current turn, and not again those before it', async () => {
    const { launch, lose } = losable();
    const scanner = createProcScanner();
    const scan = vi.spyOn(scanner, 'scan');
    /** How often the processes are looked for, when the process is lost after this many turns. */
    async function looksAfter(turns: number): Promise<number> {
      const { bench, executor, run, sessions } = await open({}, 2, {}, { launch, scanner });
      for (let i = 0; i < turns; i += 1) {
        await run(turn);
        await sessions(1);
      }
      const id = await bench.submit({ ...turn, steps: [{ waitFor: bench.file('never') }] });
      executor.kick();
      await bench.until(() => bench.prompts().length === turns + 1);
      scan.mockClear();
      lose();
      await bench.until(async () => (await bench.read(id)).status === 'scheduled'); // it is tried again
      const looks = scan.mock.calls.length;
      await executor.stop(0);
      return looks;
    }
    expect(await looksAfter(6)).toBeLessThanOrEqual((await looksAfter(1)) + 4);
  });

  it('is stopped before a turn it cannot run begins', async () => {
    const { bench, run, sessions } = await open();
    const first = await run(turn);
    await sessions(1);
    const other = await run({ ...turn, model: 'other', steps: [{ delta: 'x' }] });
    expect(other).toMatchObject({ start: 'cold', outcome: { status: 'succeeded' } });
    const end = bench.journal().findIndex((entry) => entry.event === 'end' && entry.pid === first.pid);
    const start = bench.journal().findIndex((entry) => entry.event === 'start' && entry.pid === other.pid);
    expect(end).toBeGreaterThan(-1);
    expect(start).toBeGreaterThan(end);
  });

  it('answers the prompt, not a notice about a task of the process before', async () => {
    const { bench, run, sessions } = await open();
    const notice = { origin: { kind: 'task-notification' }, num_turns: 0, result: '' };
    const first = await run({
      ...turn,
      steps: [{ result: notice }, { line: INIT }, { delta: 'yes' }, { result: {} }],
    });
    expect(first.outcome).toMatchObject({ status: 'succeeded', text: 'yes', turns: 1 });
    await sessions(1);
    const second = await run({ ...turn, steps: [{ delta: 'two' }] });
    expect(second).toMatchObject({ start: 'session', pid: first.pid, outcome: { text: 'two' } });
    expect(bench.started()).toHaveLength(1);
  });

  it.each([
    ['ends by itself', [tasks([]), { line: INIT }, { delta: 'B' }, { result: {} }], {}, []],
    ['goes on', [{ hang: true }], { lingerMs: 50, killGraceMs: 50 }, ['background_stopped']],
  ] as const)(
    'does not stay when its answer has come and a task of it %s',
    async (_what, more, limits, codes) => {
      const { bench, run, executor } = await open({}, 2, limits);
      const steps = [tasks([{ description: 'the server' }]), { delta: 'A' }, { result: {} }, ...more];
      const { id, pid, outcome } = await run({ ...turn, steps });
      expect(outcome).toMatchObject({ status: 'succeeded', text: 'A' });
      expect(executor.starts().sessions).toBe(0);
      expect(bench.alive(pid)).toBe(false);
      const events = await bench.rpc.records.events(id, 0, 1000);
      const warnings = events.flatMap((event) => (event.kind === 'warning' ? [event] : []));
      expect(warnings.map(({ code }) => code)).toEqual(codes);
      for (const { message } of warnings) expect(message).toContain('the server');
    },
  );

  it('is stopped by silence after a tool without a result, once the agent has continued', async () => {
    const { run } = await open({}, 2, { killGraceMs: 50 });
    const content = [{ type: 'tool_use', id: 'lost', name: 'Bash', input: {} }];
    const call = { line: JSON.stringify({ type: 'assistant', message: { id: 'm1', content } }) };
    const steps = [call, { delta: 'on' }, { hang: true }] as const;
    const { outcome } = await run({ ...turn, idleTimeoutMs: 1500, timeoutMs: 60_000, steps });
    expect(outcome?.error?.code).toBe('execution.idle');
  });

  it('waits for its tasks with stdin closed when the job asks for it', async () => {
    const { run, executor } = await open();
    const steps = [tasks([{}]), { delta: 'A' }, { result: {} }];
    const after = [tasks([]), { line: INIT }, { delta: 'B' }, { result: {} }];
    const { outcome } = await run({ ...turn, background: 'wait', steps: [...steps, ...after] });
    expect(outcome).toMatchObject({ status: 'succeeded', text: 'B', exit: { code: 0, signal: null } });
    expect(executor.starts().sessions).toBe(0);
  });

  it('is read in the next turn after a turn with much output', async () => {
    const { run, sessions } = await open({}, 2, { maxEventsPerSecond: 20 });
    const first = await run({ ...turn, steps: [{ deltas: { count: 60, text: 'x' } }] });
    await sessions(1);
    const second = await run({ ...turn, steps: [{ delta: 'two' }] });
    expect(second).toMatchObject({ start: 'session', pid: first.pid, outcome: { text: 'two' } });
  });

  it('does not show one turn the stderr of another', async () => {
    const { run, sessions } = await open();
    await run({ ...turn, steps: [{ stderr: 'of turn one' }] });
    await sessions(1);
    const second = await run({ ...turn, steps: [{ exit: 1 }] });
    expect(second).toMatchObject({ start: 'session', outcome: { status: 'failed' } });
    expect(second.outcome?.error?.message).not.toContain('turn one');
  });

  it('is stopped at the timeout of a turn, even while it is silent', async () => {
    const { bench, run, ready } = await open();
    await run({ model: 'fake:silent', steps: [{ result: {} }] });
    const pid = await ready();
    const late = await run({ model: 'fake:silent', timeoutMs: 500, steps: [{ sleepMs: 60_000 }] });
    expect(late).toMatchObject({ start: 'warm', pid, outcome: { error: { code: 'execution.timed_out' } } });
    expect(late.outcome?.durationMs).toBeGreaterThanOrEqual(500);
    await bench.until(() => !bench.alive(pid));
  });

  it.each([
    ['a cap of turns', { maxTurns: 3 }],
    ['a cap of cost', { maxCostUsd: 1 }],
    ['an output schema', { outputSchema: { type: 'object' } }],
    ['a session of its own', { sessionId: null }],
  ])('does not stay after a job with %s', async (_what, request) => {
    const { bench, run, executor } = await open({ maxProcesses: 4 });
    const { pid, outcome } = await run({ ...turn, ...request });
    expect(outcome?.exit).toEqual({ code: 0, signal: null });
    expect(bench.alive(pid)).toBe(false);
    expect(executor.starts().sessions).toBe(0);
  });

  it('does not stay after a turn that has failed', async () => {
    const { bench, run, executor } = await open();
    const failed = await run({ ...turn, steps: [{ result: { is_error: true, result: 'no' } }] });
    expect(failed.outcome?.status).toBe('failed');
    expect(executor.starts().sessions).toBe(0);
    await bench.until(() => !bench.alive(failed.pid));
  });

  it('does not stay when the turn has left something running', async () => {
    const { bench, run } = await open();
    const { pid, outcome } = await run({ ...turn, steps: [{ spawn: { setsid: true } }] });
    expect(outcome?.status).toBe('succeeded');
    await bench.until(() => !bench.alive(pid));
    await bench.until(() => bench.survivors().length === 0);
  });

  it('is stopped when it writes a line between two turns', async () => {
    const { bench, run, sessions } = await open();
    const said = { line: '{"type":"system","subtype":"unasked"}', when: bench.file('say') };
    const { pid } = await run({ ...turn, steps: [{ saysLater: said }] });
    await sessions(1);
    bench.touch('say');
    await bench.until(() => !bench.alive(pid));
  });

  it('is stopped after its idle time', async () => {
    const { bench, run } = await open({ sessionIdleMs: 1 });
    const { pid, outcome } = await run(turn);
    expect(outcome?.status).toBe('succeeded');
    await bench.until(() => !bench.alive(pid));
  });

  it('is listed with its session, and ended by its provider', async () => {
    const { bench, executor, run, sessions } = await open({ maxProcesses: 1 });
    const { pid } = await run({ sessionId: KNOWN_SESSION });
    await sessions(1);
    const listed = executor.processes().filter(({ sessionId }) => sessionId !== null);
    expect(listed).toMatchObject([{ state: 'idle', pid, sessionId: KNOWN_SESSION }]);
    expect(await executor.endIdle(({ id }) => id === listed[0]?.id, true)).toBe(1);
    expect(bench.alive(pid)).toBe(false);
    const next = await run({ sessionId: KNOWN_SESSION });
    expect(next.start).toBe('cold');
    await sessions(1);
    await executor.endIdle(({ provider }) => provider === 'claude', false);
    expect([bench.alive(next.pid), executor.starts().sessions]).toEqual([false, 0]);
  });

  it('stays beside one that waits for a first prompt, even if the settings allow one', async () => {
    const { run, ready, sessions } = await open({ maxProcesses: 1 }, 1);
    await run();
    const pid = await ready();
    const first = await run(turn);
    await sessions(1);
    expect(await run(turn)).toMatchObject({ start: 'session', pid: first.pid });
    expect(await run()).toMatchObject({ start: 'warm', pid });
  });

  it('is stopped for that of another session when there is room for one', async () => {
    const { bench, run, executor, sessions } = await open({ maxProcesses: 1 });
    const first = await run(turn);
    await sessions(1);
    const second = await run({ sessionId: OTHER_SESSION });
    await bench.until(() => !bench.alive(first.pid));
    expect(executor.starts().sessions).toBe(1);
    expect(await run({ sessionId: OTHER_SESSION })).toMatchObject({ start: 'session', pid: second.pid });
  });
});
