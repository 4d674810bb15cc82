import { expect, test } from 'vitest';
import type { ServerExit, ServerProcess } from '../../../src/redis/server-process.ts';
import { supervise, type UnexpectedExit } from '../../../src/redis/supervise.ts';

/** A server that has already ended. */
function crashed(pid: number): ServerProcess {
  const exit: ServerExit = { code: null, signal: 'SIGSEGV' };
  return { pid, exited: Promise.resolve(exit), stop: async () => {} };
}

function running(pid: number): ServerProcess {
  return { pid, exited: new Promise(() => {}), stop: async () => {} };
}

function observe(launch: () => Promise<ServerProcess>, restartLimit: number) {
  const stopping = new AbortController();
  const exits: UnexpectedExit[] = [];
  const replaced = Promise.withResolvers<ServerProcess>();
  const ended = supervise({
    first: crashed(1),
    launch,
    onReplaced: replaced.resolve,
    onExit: (exit) => exits.push(exit),
    restartLimit,
    logger: undefined,
    signal: stopping.signal,
  });
  return { exits, ended, replaced: replaced.promise, stop: () => stopping.abort() };
}

test('a failed start counts as a crash, and giving up is told once', async () => {
  let launches = 0;
  const { exits, ended } = observe(async () => {
    launches += 1;
    throw new Error('no memory');
  }, 2);

  await ended;

  expect(launches).toBe(2);
  expect(exits).toEqual([
    { code: null, signal: 'SIGSEGV', willRestart: true },
    { code: null, signal: null, willRestart: false },
  ]);
});

test('a limit of 0 means that nothing is started again', async () => {
  const { exits, ended } = observe(async () => running(2), 0);

  await ended;

  expect(exits).toEqual([{ code: null, signal: 'SIGSEGV', willRestart: false }]);
});

test('ends at once when it is stopped while a server runs', async () => {
  const { ended, replaced, stop } = observe(async () => running(2), 5);
  expect((await replaced).pid).toBe(2);

  stop();

  await ended;
});
