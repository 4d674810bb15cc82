import { describe, expect, it, onTestFinished } from 'vitest';
import { createWaitingProcess, type HandedPrompt } from '../../../../src/executor/warm/waiting-process.ts';
import { spawnProcess } from '../../../../src/processes/spawn.ts';
import { eventually } from '../../../helpers/eventually.ts';
import { launch } from '../../../helpers/launcher.ts';
import { tempDir } from '../../../helpers/temp.ts';

const NEVER = new AbortController().signal;
const LONG_MS = 30_000;
const SILENCE_MS = 100;

const prompt = (changed: Partial<HandedPrompt> = {}): HandedPrompt => ({
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
    marker: `test/${process.pid}`,
  };
  const child = await spawnProcess(request, launch);
  onTestFinished(async () => {
    child.signalGroup('SIGKILL');
    await child.ended;
  });
  return createWaitingProcess(child, isReady, silenceMs);
}

describe('a waiting process', () => {
  it('gets its prompt, and what it says then is kept for whoever reads on', async () => {
    const waiting = await start('read prompt; echo "heard $prompt"; echo more');
    expect(await waiting.hand(prompt())).toBe(true);
    await waiting.child.ended;
    expect(waiting.heard).toEqual([
      { line: 'heard hello', cut: null },
      { line: 'more', cut: null },
    ]);
  });

  it('says that it is ready in a line that belongs to no run', async () => {
    const waiting = await start('echo ready; read prompt; echo answer', (line) => line === 'ready');
    let told = 0;
    waiting.onReady(() => {
      told += 1;
    });
    await eventually(() => expect(waiting.ready).toBe(true));
    expect(told).toBe(1);
    await waiting.hand(prompt());
    await waiting.child.ended;
    expect(waiting.heard.map(({ line }) => line)).toEqual(['answer']);
  });

  it('that is silent over its prompt and has not run has not taken it', async () => {
    const waiting = await start('sleep 60');
    expect(await waiting.hand(prompt())).toBe(false);
  });

  it('that is silent over its prompt and works has taken it', async () => {
    // Long enough for the process to get some time of a busy machine.
    const waiting = await start('read prompt; while :; do :; done', null, 2000);
    expect(await waiting.hand(prompt())).toBe(true);
  });

  it('that ends without a word has not taken it', async () => {
    const waiting = await start('read prompt; exit 1');
    expect(await waiting.hand(prompt())).toBe(false);
  });

  it('is not waited for when the run is stopped, or when it need not speak', async () => {
    const stop = new AbortController();
    const waiting = await start('read prompt; sleep 60');
    const handed = waiting.hand(prompt({ stop: stop.signal }));
    stop.abort();
    expect(await handed).toBe(true);
    const other = await start('read prompt; sleep 60');
    expect(await other.hand(prompt({ speaksFirst: false }))).toBe(true);
    const late = await start('read prompt; sleep 60');
    expect(await late.hand(prompt({ limitMs: 1 }))).toBe(true);
  });

  it('forgets what stderr said before, and reads on whoever had stopped it', async () => {
    const waiting = await start('echo early >&2; echo unasked; read prompt; echo late >&2; echo answer');
    await eventually(() => expect(waiting.child.stderrTail()).toBe('early\n'));
    waiting.child.pauseOutput();
    expect(await waiting.hand(prompt())).toBe(true);
    await waiting.child.ended;
    expect(waiting.child.stderrTail()).toBe('late\n');
    expect(waiting.heard.at(-1)?.line).toBe('answer');
  });

  it('does not live when it has stopped or ended', async () => {
    const waiting = await start('read prompt');
    expect(waiting.alive()).toBe(true);
    waiting.child.signalGroup('SIGSTOP');
    await eventually(() => expect(waiting.alive()).toBe(false));
    waiting.child.signalGroup('SIGCONT');
    await eventually(() => expect(waiting.alive()).toBe(true));
    waiting.child.signalGroup('SIGKILL');
    await waiting.child.exited;
    expect(waiting.alive()).toBe(false);
  });

  it('that speaks before it was asked is told of', async () => {
    const told = Promise.withResolvers<void>();
    const waiting = await start('sleep 0.05; echo unasked; read prompt');
    waiting.onUnasked(told.resolve);
    await told.promise;
  });
});
