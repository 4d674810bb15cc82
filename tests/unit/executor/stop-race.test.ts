import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createStopRace } from '../../../src/executor/stop-race.ts';
import type { ProcessEnd, SpawnedProcess } from '../../../src/processes/spawned-process.ts';
import type { Exit } from '../../../src/protocol/cli.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

it('the exit of a process concerns its current turn, and none that has ended before', async () => {
  const exited = Promise.withResolvers<Exit>();
  const ended = Promise.withResolvers<ProcessEnd>();
  const child: SpawnedProcess = {
    ...{ pid: 1, marker: 'node/1', startedAt: 0, lost: false, exitedAtUptimeS: 1 },
    ...{ exited: exited.promise, ended: ended.promise, spoke: Promise.resolve() },
    ...{ feed() {}, onLine() {}, onOutput() {}, clearStderr() {}, pauseOutput() {}, resumeOutput() {} },
    ...{ stderrTail: () => '', signalGroup: () => false },
  };
  const turns = Array.from({ length: 5 }, (_, turn) =>
    createStopRace({
      child,
      executionId: `e${turn}`,
      graceMs: 0,
      force: new AbortController().signal,
      scanner: { scan: async () => [] },
      onLeak: () => expect.unreachable(),
      logger: pino({ level: 'silent' }),
    }),
  );
  for (const over of turns.slice(0, -1)) await over.finish();
  exited.resolve({ code: 0, signal: null });
  await new Promise(setImmediate);
  expect(vi.getTimerCount()).toBe(1);
  ended.resolve({ code: 0, signal: null, leakedPipe: false });
  expect(await turns.at(-1)?.ended).toMatchObject({ code: 0 });
  await turns.at(-1)?.finish();
  expect(vi.getTimerCount()).toBe(0);
});
