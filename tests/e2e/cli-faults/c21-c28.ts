import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Taking } from '../../fakes/fake-cli-take.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { commandLine, descendants } from '../../helpers/proc.ts';
import {
  barrier,
  besideAnother,
  ended,
  exited,
  failed,
  KILLED,
  PATIENCE,
  rawLines,
  run,
  succeeded,
  warnings,
} from './row.ts';
import { MAX_EVENTS, type SharedSystem } from './shared-system.ts';

const launcherOf = (system: SharedSystem): number =>
  descendants(system.pid).find((pid) => commandLine(pid)?.includes('launcher-process')) ??
  expect.unreachable();

/** With this limit a process can open no other file: every free number is above it. */
const NONE_FREE = 1;

/** The limit of open files that another process has, and a way to set it. */
const openFilesOf = (pid: number) => ({
  soft: Number(/Max open files\s+(\d+)/.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1]),
  set: (soft: number) => execFileSync('prlimit', ['--pid', String(pid), `--nofile=${soft}:`]),
});

/** Too much of the machine, too many events, and streams that are mixed or no terminal. */
export function rowsOfLimitsAndStreams(shared: () => SharedSystem): void {
  it.each<[string, Taking, Record<string, number>, object]>([
    ['memory', { memoryBytes: 300_000_000 }, { memoryBytes: 200_000_000 }, exited(143)],
    ['processes', { processes: 12 }, { processes: 8 }, exited(143)],
    ['open files', { openFiles: 300 }, { openFiles: 200 }, exited(143)],
    ['CPU time', { cpu: true }, { cpuSeconds: 1 }, KILLED], // too busy to handle SIGTERM
  ])(
    'C21: a job that takes too much of the %s ends alone, with the limit named',
    async (_what, take, limits, exit) => {
      const { job } = await run(shared(), {
        prompt: fakePrompt([{ take }]),
        limits,
        retry: { maxAttempts: 3 },
      });
      // Retryable is a machine that ran out; what this job takes will not change.
      expect(job).toMatchObject({
        ...failed('execution.resource_limit', exit as typeof KILLED, false),
        attempts: 1,
      });
      const [[name, limit] = expect.unreachable()] = Object.entries(limits);
      expect(job.outcome?.error?.message).toContain(`${name}; ${limit} are allowed`);
    },
  );

  // There is no limit of disk: that is the file system's. What we give a job to fill is taken back.
  it('C21: what a job writes into its TMPDIR is gone after it, and what it writes into its workspace stays', async () => {
    const system = shared();
    const disk = { bytes: 20_000_000, name: 'filled' };
    const { job } = await run(system, { prompt: fakePrompt([{ take: { disk } }, { delta: 'done' }]) });
    expect(job).toMatchObject(succeeded('done'));
    expect(statSync(join(system.workspace, disk.name)).size).toBe(disk.bytes);
    await expect.poll(() => existsSync(system.path(`data/tmp/${job.outcome?.executionId}`))).toBe(false);
  });

  it('C22: a CLI that stops itself and ignores signals is ended when its time is over', async () => {
    const prompt = fakePrompt([{ ignore: ['SIGTERM'] }, { stop: true }, { hang: true }]);
    const { job } = await run(shared(), { prompt, timeoutMs: 1500 });
    expect(job).toMatchObject(failed('execution.timed_out', KILLED));
  });

  it('C23: arguments that are too large for the kernel fail the job, not the server', async () => {
    const request = { prompt: 'x', provider: 'large-arguments', retry: { maxAttempts: 3 } };
    const { job } = await run(shared(), request);
    // Taken for a limit of the machine, so every attempt is used.
    expect(job).toMatchObject({ ...failed('execution.resource_limit', null), attempts: 3 });
    expect(job.outcome?.error?.message).toContain('too large');
  });

  it('C23: without a free file descriptor a job waits, /ready says why, and it runs when there is one', async () => {
    const system = shared();
    const files = openFilesOf(launcherOf(system));
    await besideAnother(system, async () => {
      files.set(NONE_FREE);
      try {
        const id = await system.submit({ prompt: 'x' });
        const why = await eventually(async () => {
          const ready = await system.api('GET', '/ready');
          return ready.status === 503 ? await ready.text() : null;
        }, PATIENCE);
        expect(why).toContain('cannot be started');
        files.set(files.soft);
        const { job } = await ended(system, id);
        expect(job).toMatchObject({ ...succeeded('fake: x'), attempts: 1 });
        expect((await system.api('GET', '/ready')).status).toBe(200);
      } finally {
        files.set(files.soft);
      }
    });
  });

  it('C24: terminal escapes and carriage returns are kept in what was said, and are none in the log', async () => {
    const system = shared();
    const text = '10%\r\u001b[31m100%\u001b[0m \u001b]0;title\u0007';
    const { job, events } = await run(system, { prompt: fakePrompt([{ line: text }, { delta: text }]) });
    expect(job).toMatchObject(succeeded(text));
    expect(rawLines(events)).toEqual([text]);
    const { job: broken } = await run(system, { prompt: fakePrompt([{ stderr: text }, { exit: 1 }]) });
    expect(broken).toMatchObject(failed('execution.crashed', exited(1)));
    expect(system.log()).not.toContain('\u001b');
  });

  it('C25: a million tiny events end at the cap of events, numbered without a gap', async () => {
    const prompt = fakePrompt([{ deltas: { count: 1_000_000, text: 'x' } }]);
    const { job, events } = await run(shared(), { prompt });
    expect(job).toMatchObject(failed('execution.output_limit', undefined));
    const deltas = events.filter(({ kind }) => kind === 'text.delta');
    expect(deltas.length).toBeGreaterThan(MAX_EVENTS / 2);
    expect(deltas.length).toBeLessThanOrEqual(MAX_EVENTS);
    expect(job.outcome?.text).toBe('x'.repeat(deltas.length));
  });

  // stderr has no events: its end is kept for the message of a job that fails.
  it('C26: each of two interleaved streams is in order', async () => {
    const numbers = Array.from({ length: 50 }, (_, index) => index);
    const steps = numbers.flatMap((n) => [{ line: `out ${n}` }, { stderr: `${n};` }]);
    const { job, events } = await run(shared(), { prompt: fakePrompt([...steps, { exit: 1 }]) });
    expect(job).toMatchObject(failed('execution.crashed', exited(1)));
    expect(rawLines(events)).toEqual(numbers.map((n) => `out ${n}`));
    expect(job.outcome?.error?.message).toContain(numbers.map((n) => `${n};`).join(''));
  });

  // There is no PTY mode, so no EIO: the streams are sockets, read to their end.
  it('C27: a CLI has no terminal, and all it says right before and after its exit is kept', async () => {
    const system = shared();
    const go = barrier(system);
    const last = 'y'.repeat(500_000);
    const steps = [
      { terminals: true },
      { spawn: { holdPipe: true, says: { line: 'late', when: go } } },
      { delta: last },
      { result: {} },
      { touch: go },
    ] as const;
    const { job, events } = await run(system, { prompt: fakePrompt(steps) });
    expect(job).toMatchObject(succeeded(last));
    expect(rawLines(events)).toEqual(['{"terminals":[false,false,false]}', 'late']);
    expect(warnings(events)).toEqual(['leaked_pipe']);
  });

  it('C28: without a terminal there is nothing to resize', async () => {
    const size = { cols: 0, rows: 0 };
    const system = shared();
    await besideAnother(system, async () => {
      const created = await system.api('POST', '/v1/jobs', { prompt: 'x', ...size });
      expect(created.status).toBe(400);
      expect(await created.json()).toMatchObject({ code: 'request.invalid' });
      const id = await system.submit({ prompt: fakePrompt([{ hang: true }]) });
      const resized = await system.api('POST', `/v1/jobs/${id}/resize`, size);
      expect(resized.status).toBe(404);
      expect(await resized.json()).toMatchObject({ code: 'request.not_found' });
      await system.api('POST', `/v1/jobs/${id}/cancel`, { force: true });
      expect((await ended(system, id)).job).toMatchObject({ status: 'cancelled' });
    });
  });
}
