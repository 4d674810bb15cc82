import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { findOwnCgroup, mayUseCgroups } from '../../../src/processes/cgroups.ts';
import type { SpawnStep } from '../../fakes/fake-cli-steps.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt, journalOf } from '../../helpers/fake-cli.ts';
import { isAlive } from '../../helpers/proc.ts';
import {
  barrier,
  type Ended,
  exited,
  failed,
  KILLED,
  open,
  PATIENCE,
  rawLines,
  reached,
  run,
  signalsOf,
  succeeded,
  warnings,
} from './row.ts';
import { KILL_GRACE_MS, type SharedSystem } from './shared-system.ts';

const MIB = 1024 * 1024;
const ANSWERS_WITHIN_MS = 20_000;
const UNREF = { ref: false };

/** Resident memory of the server at its highest, in bytes. */
const peakMemory = (system: SharedSystem): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${system.pid}/status`, 'utf8'))?.[1]) * 1024;

/** Asks the server again and again until `work` is done; rejects when it does not answer. */
async function askUntil(system: SharedSystem, work: Promise<unknown>): Promise<void> {
  let over = false;
  const done = work.finally(() => {
    over = true;
  });
  while (!over) {
    await Promise.race([system.api('GET', '/health'), delay(ANSWERS_WITHIN_MS, null, UNREF)]).then((answer) =>
      expect(answer?.status, 'no answer').toBe(200),
    );
    await delay(20);
  }
  await done;
}

/**
 * A job that starts a daemon, sees that it lives, and succeeds: the daemon's process and the job's
 * end.
 */
async function runDaemon(system: SharedSystem, how: SpawnStep): Promise<[number, Ended]> {
  const [started, go] = [barrier(system), barrier(system)];
  const steps = [{ spawn: how }, { touch: started }, { waitFor: go }, { delta: 'done' }];
  const end = await run(system, { prompt: fakePrompt(steps) }, async () => {
    await reached(started);
    const daemon = journalOf(system.journal, 'spawned').at(-1)?.child ?? 0;
    expect(isAlive(daemon)).toBe(true);
    open(go);
  });
  return [end.children[0] ?? expect.unreachable(), end];
}

/**
 * Processes that do not end, end too early, or leave something behind; output that is too much or
 * no text.
 */
export function rowsOfProcessesAndOutput(shared: () => SharedSystem): void {
  it('C1: a CLI that ignores SIGTERM, SIGINT and SIGHUP is killed after the grace', async () => {
    const system = shared();
    const deaf = barrier(system);
    const prompt = fakePrompt([{ ignore: ['SIGTERM', 'SIGINT', 'SIGHUP'] }, { touch: deaf }, { hang: true }]);
    const timeoutMs = 2000;
    const { job, events } = await run(system, { prompt, timeoutMs }, () => reached(deaf).then(() => {}));
    expect(job).toMatchObject(failed('execution.timed_out', KILLED));
    expect(signalsOf(system, events)).toEqual(['SIGTERM']);
    expect(job.outcome?.durationMs).toBeGreaterThanOrEqual(timeoutMs + KILL_GRACE_MS);
  });

  it('C2: a grandchild that holds the output open is ended after a moment, and the job has succeeded', async () => {
    const system = shared();
    const prompt = fakePrompt([{ spawn: { holdPipe: true } }, { delta: 'done' }]);
    const { job, events, children } = await run(system, { prompt });
    expect(job).toMatchObject({ ...succeeded('done'), outcome: { exit: exited(0) } });
    expect(warnings(events)).toEqual(['leaked_pipe']);
    expect(children).toHaveLength(1);
    expect(children.filter(isAlive)).toEqual([]);
  });

  it('C3: a daemon in a session of its own is found by its marker and ended', async () => {
    const [daemon, { job }] = await runDaemon(shared(), { setsid: true, double: true });
    expect(job).toMatchObject(succeeded('done'));
    await eventually(() => expect(isAlive(daemon)).toBe(false), PATIENCE);
  });

  it('C3: a daemon that also dropped its environment is ended by its cgroup, and escapes only where there is none', async () => {
    const [daemon, { job }] = await runDaemon(shared(), { setsid: true, double: true, cleanEnv: true });
    expect(job).toMatchObject(succeeded('done'));
    if (mayUseCgroups(findOwnCgroup())) {
      await eventually(() => expect(isAlive(daemon)).toBe(false), PATIENCE);
    } else {
      expect(isAlive(daemon)).toBe(true); // the documented limit
      process.kill(daemon, 'SIGKILL');
    }
  });

  it('C4: a flood of stdout ends at the cap, in bounded memory, and the server goes on answering', async () => {
    const system = shared();
    const before = peakMemory(system);
    const prompt = fakePrompt([{ flood: { bytes: 512 * MIB, to: 'stdout', lines: true } }]);
    let peak = 0;
    const { job, events } = await run(system, { prompt, limits: { outputBytes: 8 * MIB } }, async (id) => {
      await askUntil(system, system.finished(id));
      peak = peakMemory(system); // reading all its events at once, as we do now, is not what is measured
    });
    expect(job).toMatchObject(failed('execution.output_limit', undefined));
    expect(rawLines(events).every((line) => line === 'x'.repeat(1023))).toBe(true);
    // Mostly garbage: 110 MB here, and 230 MB however much larger the cap is.
    expect(peak - before).toBeLessThan(200_000_000);
  });

  it('C5: a flood of stderr ends at the same cap, and below it the end of stderr is kept', async () => {
    const system = shared();
    const flood = { flood: { bytes: 512 * MIB, to: 'stderr' } } as const;
    const { job } = await run(system, { prompt: fakePrompt([flood]), limits: { outputBytes: 16 * MIB } });
    expect(job).toMatchObject(failed('execution.output_limit', undefined));
    const noise = { flood: { bytes: MIB, to: 'stderr', lines: true } } as const;
    const reported = await run(system, {
      prompt: fakePrompt([noise, { stderr: 'no such thing\n' }, { exit: 3 }]),
    });
    expect(reported.job).toMatchObject(failed('execution.crashed', exited(3)));
    expect(reported.job.outcome?.error?.message).toMatch(/no such thing$/);
  });

  it('C6: a line of 100 MB is cut at the limit of a line, in bounded memory, and what follows is read', async () => {
    const system = shared();
    const before = peakMemory(system);
    const steps = [{ flood: { bytes: 100 * MIB, to: 'stdout' } }, { line: '' }, { delta: 'after' }] as const;
    const { job, events } = await run(system, { prompt: fakePrompt(steps), limits: { lineBytes: MIB } });
    expect(job).toMatchObject(succeeded('after'));
    expect(warnings(events)).toEqual(['line_truncated']);
    expect(rawLines(events)).toEqual(['x'.repeat(MIB)]);
    expect(peakMemory(system) - before).toBeLessThan(100_000_000);
  });

  // There is no spool of bytes that could be exact: what is kept are lines, as text.
  it('C7: invalid UTF-8, a character in two halves, NULs and a byte order mark come out as valid text', async () => {
    const steps = [{ badUtf8: true }, { line: 'a\0b' }, { delta: 'n\0l' }] as const;
    const { job, events } = await run(shared(), { prompt: fakePrompt(steps), model: 'fake:byte-order-mark' });
    expect(rawLines(events)).toEqual(['\u{fffd}\u{fffd} \u{fffd}(', 'é', 'a\0b']);
    expect(job).toMatchObject(succeeded('n\0l'));
    // The mark stood before the first line, the answer to the greeting.
    expect(job.outcome?.nativeSessionId).not.toBeNull();
  });

  it('C8: a CLI that closes stdin while a prompt of 1 MB is written is judged by its exit', async () => {
    const prompt = 'x'.repeat(MIB - 1);
    const { job } = await run(shared(), { prompt, model: 'fake:closes-stdin' });
    expect(job).toMatchObject({ ...succeeded('fake:'), outcome: { exit: exited(0) } });
  });

  it('C9: a CLI that never reads its prompt of 1 MB ends by its silence', async () => {
    const request = { prompt: 'x'.repeat(MIB - 1), model: 'fake:ignores-stdin', idleTimeoutMs: 1000 };
    const { job } = await run(shared(), request);
    expect(job).toMatchObject(failed('execution.idle', undefined));
  });

  it('C10: silence and too long a run are two codes', async () => {
    const prompt = fakePrompt([{ hang: true }]);
    const [silent, long] = await Promise.all([
      run(shared(), { prompt, idleTimeoutMs: 1000 }),
      run(shared(), { prompt, timeoutMs: 1000 }),
    ]);
    expect(silent.job).toMatchObject(failed('execution.idle', undefined));
    expect(long.job).toMatchObject(failed('execution.timed_out', undefined));
  });

  it('C11: a byte now and then is no silence, but the time still runs out', async () => {
    const prompt = fakePrompt([{ drip: { everyMs: 50 } }]);
    const { job } = await run(shared(), { prompt, idleTimeoutMs: 1500, timeoutMs: 4000 });
    expect(job).toMatchObject(failed('execution.timed_out', exited(143)));
  });

  // It has no flag of its own: the exit in the outcome shows that it was killed.
  it('C12: a CLI that says its result and never exits has succeeded, and is ended', async () => {
    const system = shared();
    const prompt = fakePrompt([{ delta: 'done' }, { result: {} }, { hang: true }]);
    const { job, events } = await run(system, { prompt, timeoutMs: 60_000 });
    expect(job).toMatchObject({ ...succeeded('done'), outcome: { exit: exited(143) } });
    expect(signalsOf(system, events)).toEqual(['SIGTERM']);
    expect(job.outcome?.durationMs).toBeLessThan(60_000);
  });
}
