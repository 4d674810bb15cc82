import { describe, expect, it, onTestFinished } from 'vitest';
import {
  createIdleProcess,
  memoryAllowsOneMore,
  type PromptToSend,
} from '../../../src/executor/warm/idle-process.ts';
import { spawnProcess } from '../../../src/processes/spawn.ts';
import { eventually } from '../../helpers/eventually.ts';
import { launch } from '../../helpers/launcher.ts';
import { tempDir } from '../../helpers/temp.ts';

const NEVER = new AbortController().signal;
const LONG_MS = 30_000;
const SILENCE_MS = 100;

const prompt = (changed: Partial<PromptToSend> = {}): PromptToSend => ({
  stdin: 'hello\n',
  hold: false,
  speaksFirst: true,
  limitMs: LONG_MS,
  stop: NEVER,
  ...changed,
});

async function start(
  script: string,
  isReady: ((line: string) => boolean) | null = null,
  silenceMs = SILENCE_MS,
) {
  const request = {
    binary: '/bin/sh',
    args: ['-c', script],
    env: { PATH: process.env['PATH'] ?? '' },
    cwd: tempDir(),
    stdin: '',
    holdStdin: true,
    maxLineBytes: 1000,
    maxTextBytes: 1000,
    marker: `test/${process.pid}`,
  };
  const child = await spawnProcess(request, launch);
  onTestFinished(async () => {
    child.signalGroup('SIGKILL');
    await child.ended;
  });
  return createIdleProcess({ child, scratch: '', isReady, silenceMs });
}

describe('an idle process', () => {
  it('gets its prompt, and keeps the lines of its answer for the next reader', async () => {
    const idle = await start('read prompt; echo "got $prompt"; echo more');
    expect(await idle.sendPrompt(prompt())).toBe(true);
    await idle.child.ended;
    expect(idle.earlyLines).toEqual([
      { line: 'got hello', cut: null },
      { line: 'more', cut: null },
    ]);
  });

  it('reports that it is ready in a line that belongs to no job', async () => {
    const idle = await start('echo ready; read prompt; echo answer', (line) => line === 'ready');
    let calls = 0;
    idle.onReady(() => {
      calls += 1;
    });
    await eventually(() => expect(idle.ready).toBe(true));
    expect(calls).toBe(1);
    await idle.sendPrompt(prompt());
    await idle.child.ended;
    expect(idle.earlyLines.map(({ line }) => line)).toEqual(['answer']);
  });

  it('that is silent and uses no CPU time has not read its prompt', async () => {
    const idle = await start('sleep 60');
    expect(await idle.sendPrompt(prompt())).toBe(false);
  });

  it('that is silent and works has read its prompt', async () => {
    // Long enough for the process to get CPU time on a busy machine.
    const idle = await start('read prompt; while :; do :; done', null, 2000);
    expect(await idle.sendPrompt(prompt())).toBe(true);
  });

  it('that ends without a line has not read its prompt', async () => {
    const idle = await start('read prompt; exit 1');
    expect(await idle.sendPrompt(prompt())).toBe(false);
  });

  it('is not waited for when the job is stopped, or when the CLI does not speak first', async () => {
    const stop = new AbortController();
    const idle = await start('read prompt; sleep 60');
    const sent = idle.sendPrompt(prompt({ stop: stop.signal }));
    stop.abort();
    expect(await sent).toBe(true);
    const other = await start('read prompt; sleep 60');
    expect(await other.sendPrompt(prompt({ speaksFirst: false }))).toBe(true);
    const late = await start('read prompt; sleep 60');
    expect(await late.sendPrompt(prompt({ limitMs: 1 }))).toBe(true);
  });

  it('gets no prompt when the job was stopped before', async () => {
    const idle = await start('read prompt; echo "got $prompt"');
    const stop = AbortSignal.abort('cancelled');
    await expect(idle.sendPrompt(prompt({ stop }))).rejects.toMatchObject({ code: 'execution.cancelled' });
    idle.child.feed('', false);
    await idle.child.ended;
    expect(idle.earlyLines.map(({ line }) => line)).toEqual(['got ']);
  });

  it('drops earlier output of stderr, and continues a paused stdout', async () => {
    const idle = await start('echo early >&2; echo unasked; read prompt; echo late >&2; echo answer');
    await eventually(() => expect(idle.child.stderrTail()).toBe('early\n'));
    idle.child.pauseOutput();
    expect(await idle.sendPrompt(prompt())).toBe(true);
    await idle.child.ended;
    expect(idle.child.stderrTail()).toBe('late\n');
    expect(idle.earlyLines.at(-1)?.line).toBe('answer');
  });

  it('is not alive when it is stopped or has exited', async () => {
    const idle = await start('read prompt');
    expect(idle.isAlive()).toBe(true);
    idle.child.signalGroup('SIGSTOP');
    await eventually(() => expect(idle.isAlive()).toBe(false));
    idle.child.signalGroup('SIGCONT');
    await eventually(() => expect(idle.isAlive()).toBe(true));
    idle.child.signalGroup('SIGKILL');
    await idle.child.exited;
    expect(idle.isAlive()).toBe(false);
  });

  it('reports a line before its prompt', async () => {
    const called = Promise.withResolvers<void>();
    const idle = await start('sleep 0.05; echo unasked; read prompt');
    idle.onUnexpectedLine(called.resolve);
    await called.promise;
  });
});

describe('the memory of idle processes', () => {
  const MB = 1024 * 1024;
  const idle = (count: number): null[] => Array.from({ length: count }, () => null);

  it.each([
    [799, 0],
    [800, 1],
    // The first has taken 200 MB. Two may have a quarter of the memory that was free at first.
    [1599, 1],
    [1600, 2],
    [4000, 5],
  ])('with %d MB free allows %d of 200 MB', (freeMb, count) => {
    const availableAt = (used: number): number => (freeMb - 200 * used) * MB;
    for (let used = 0; used < count; used += 1)
      expect(memoryAllowsOneMore(idle(used), availableAt(used))).toBe(true);
    expect(memoryAllowsOneMore(idle(count), availableAt(count))).toBe(false);
  });

  it('counts a booted process with its real memory', () => {
    // This process is not a CLI, so it uses another amount.
    const ownBytes = process.memoryUsage.rss();
    const limit = (ownBytes + 200 * MB) * 4 - ownBytes;
    expect(memoryAllowsOneMore([process.pid], limit * 1.2)).toBe(true);
    expect(memoryAllowsOneMore([process.pid], limit * 0.8)).toBe(false);
  });
});
