import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AppError } from '../../../src/errors.ts';
import { createLauncher, type Launcher } from '../../../src/processes/launcher.ts';
import { terminate } from '../../../src/processes/terminate.ts';
import { eventually } from '../../helpers/eventually.ts';
import { commandLine, descendants, isAlive, processesWithMarker } from '../../helpers/proc.ts';
import { tempDir } from '../../helpers/temp.ts';
import { bench } from './harness.ts';

/** A launcher for one test. */
async function setUp(options: { readonly pingEveryMs?: number } = {}) {
  const dir = tempDir();
  const before = new Set(launchers());
  const launcher = createLauncher({ dir, logger: pino({ enabled: false }), ...options });
  await launcher.start();
  onTestFinished(() => launcher.stop());
  /** Waits for it: after one has died the next takes a moment. */
  const pid = () => eventually(() => launchers().find((one) => !before.has(one) && isAlive(one)) ?? null);
  return { ...bench(), dir, launcher, launch: launcher.launch, pid };
}

const launchers = (): number[] =>
  descendants(process.pid).filter((pid) => commandLine(pid)?.includes('launcher-process') === true);
const working = (launcher: Launcher) => eventually(() => launcher.problem() === null, { timeoutMs: 20_000 });

describe('a launcher that dies', () => {
  it('is replaced; its processes count as lost and run until they are swept', async () => {
    const { sh, launch, launcher, pid, scanner } = await setUp();
    const { process: running } = await sh('trap "" TERM; sleep 1000 & wait', { launch });
    const first = await pid();
    process.kill(first, 'SIGKILL');
    await running.exited;
    expect(running.lost).toBe(true);
    await terminate(running, { graceMs: 0, scanner });
    expect(isAlive(running.pid)).toBe(false);
    await working(launcher);
    const { process: next } = await sh('exit 3', { launch });
    expect(await next.ended).toMatchObject({ code: 3 });
    expect(await pid()).not.toBe(first);
  });

  it('before it begins a start leaves that start to the next launcher', async () => {
    const { sh, launch, pid } = await setUp();
    await (await sh('exit 0', { launch })).process.ended;
    const stopped = await pid();
    process.kill(stopped, 'SIGSTOP');
    const starts = Array.from({ length: 3 }, () => sh('echo started; exit 0', { launch }));
    process.kill(stopped, 'SIGKILL');
    for (const { process: child, lines } of await Promise.all(starts)) {
      expect(await child.ended).toMatchObject({ code: 0 });
      expect(lines).toEqual([{ line: 'started', cut: null }]);
    }
  });

  it('while it starts a process has started it once, or reports it as lost', async () => {
    const { sh, launch, launcher, pid, dir } = await setUp();
    const journal = join(dir, 'runs');
    const outcomes: string[] = [];
    for (const turns of [1, 5, 9]) {
      await working(launcher);
      const killed = await pid();
      const start = sh(`echo ${turns} >> ${journal}`, { launch });
      for (let turn = 0; turn < turns; turn += 1) await setImmediate();
      process.kill(killed, 'SIGKILL');
      outcomes.push(
        await start.then(
          async ({ process: child }) => {
            await child.ended;
            return 'started';
          },
          (error: AppError) => error.code,
        ),
      );
    }
    for (const outcome of outcomes) expect(['started', 'execution.lost']).toContain(outcome);
    const runs = readFileSync(journal, 'utf8').trim().split('\n');
    expect(new Set(runs).size).toBe(runs.length);
  });
});

describe('a launcher that hangs', () => {
  it('is replaced: the next one starts what it had not begun; its processes are lost', async () => {
    const { sh, launch, launcher, pid, scanner } = await setUp({ pingEveryMs: 500 });
    const { process: running } = await sh('exec sleep 1000', { launch });
    process.kill(await pid(), 'SIGSTOP');
    const waiting = sh('exit 4', { launch });
    await eventually(() => expect(launcher.problem()).toBe('it does not answer'), { timeoutMs: 20_000 });
    expect(await (await waiting).process.ended).toMatchObject({ code: 4 });
    await running.exited;
    expect(running.lost).toBe(true);
    await terminate(running, { graceMs: 0, scanner });
    expect(launcher.problem()).toBeNull();
  });

  it('drops a start whose caller has given up', async () => {
    const { sh, launch, pid, marker } = await setUp();
    await (await sh('exit 0', { launch })).process.ended;
    const stopped = await pid();
    process.kill(stopped, 'SIGSTOP');
    const stop = new AbortController();
    const start = sh('exec sleep 1000', { launch: (request) => launch(request, stop.signal) });
    stop.abort(new Error('cancelled'));
    await expect(start).rejects.toThrow('cancelled');
    process.kill(stopped, 'SIGCONT');
    await (await sh('exit 0', { launch, marker: `${marker}-next` })).process.ended;
    expect(processesWithMarker(marker)).toEqual([]);
  });

  it('does not keep a process from being killed', async () => {
    const { sh, launch, pid, scanner } = await setUp();
    const { process: running } = await sh('exec sleep 1000', { launch });
    const stopped = await pid();
    process.kill(stopped, 'SIGSTOP');
    const ended = await terminate(running, { graceMs: 0, scanner });
    expect(ended).toMatchObject({ forced: true, survivors: [] });
    expect(isAlive(running.pid)).toBe(false);
    process.kill(stopped, 'SIGCONT'); // so that it stops at once
  });

  it('does not keep the server from stopping', async () => {
    const { launcher, pid } = await setUp();
    const stopped = await pid();
    process.kill(stopped, 'SIGSTOP');
    await launcher.stop();
    expect(isAlive(stopped)).toBe(false);
  });
});

it('a socket whose file is gone is no missing CLI: the next start has a new one', async () => {
  const { sh, launch, dir } = await setUp();
  rmSync(join(dir, 'launcher.sock'));
  await expect(sh('exit 0', { launch })).rejects.toMatchObject({
    code: 'execution.resource_limit',
    retryable: true,
  });
  await eventually(async () =>
    expect(await (await sh('exit 5', { launch })).process.ended).toMatchObject({ code: 5 }),
  );
});

it('a start that found too few free descriptors leaves none open', async () => {
  const { sh, launch, pid } = await setUp();
  await (await sh('exit 0', { launch })).process.ended; // it loads what a start needs
  const launcher = await pid();
  const open = () => readdirSync(`/proc/${launcher}/fd`).map(Number);
  const limit = (files: number) => execFileSync('prlimit', ['--pid', String(launcher), `--nofile=${files}:`]);
  const before = open();
  const free = Array.from({ length: 1000 }, (_, fd) => fd).filter((fd) => !before.includes(fd));
  limit((free[1] ?? 0) + 1);
  await expect(sh('exit 0', { launch })).rejects.toMatchObject({ code: 'execution.resource_limit' });
  limit(1000);
  await eventually(() => expect(open()).toEqual(before));
  expect(await (await sh('exit 6', { launch })).process.ended).toMatchObject({ code: 6 });
});
