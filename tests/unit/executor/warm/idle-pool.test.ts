import { pino } from 'pino';
import { expect, it } from 'vitest';
import { createIdlePool } from '../../../../src/executor/warm/idle-pool.ts';
import { type BootSpec, shapeOf } from '../../../../src/executor/warm/process-shape.ts';
import { createClaudeProvider } from '../../../../src/providers/claude/provider.ts';
import { tempDir } from '../../../helpers/temp.ts';
import { builtInOptions } from '../../providers/settings.ts';

const LINE = 1000;
const execution = {
  provider: createClaudeProvider(builtInOptions()),
  cli: { binary: '/bin/claude', identity: '1' },
  command: { args: ['-p'], stdin: '', env: {} },
  env: {},
  cwd: '/work',
};
const shape = shapeOf(execution, LINE) ?? expect.unreachable();
const { provider, env, cwd } = execution;
const spec: BootSpec = {
  ...{ provider, env, cwd, shape },
  binary: '/bin/claude',
  args: ['-p'],
  opening: '',
  maxLineBytes: LINE,
  maxTextBytes: LINE,
};

it('starts no process ahead while an execution runs on each processor', async () => {
  let running = 2;
  let asked = 0;
  const pool = createIdlePool({
    maxProcesses: 4,
    idleMs: 1000,
    memoryAllowsOneMore: () => true,
    bootSlots: {
      tryAcquire: () => {
        asked += 1;
        return null;
      },
    },
    launch: () => expect.unreachable(),
    reaper: { add: () => expect.unreachable() },
    nodeId: 'node',
    scratchDir: '/scratch',
    running: () => running,
    processors: 2,
    logger: pino({ level: 'silent' }),
  });
  pool.setQueued([spec]);
  expect(asked).toBe(0);
  running = 1;
  pool.setQueued([spec]);
  expect(asked).toBe(1);
  await pool.stop();
});

it('a job that is stopped while its process boots does not wait for it, and it is ended', async () => {
  const launching = Promise.withResolvers<never>();
  const asked = Promise.withResolvers<void>();
  const reaped: string[] = [];
  const pool = createIdlePool({
    maxProcesses: 4,
    idleMs: 1000,
    memoryAllowsOneMore: () => true,
    bootSlots: { tryAcquire: () => () => undefined },
    launch: () => {
      asked.resolve();
      return launching.promise;
    },
    reaper: { add: (marker) => void reaped.push(marker) },
    nodeId: 'node',
    scratchDir: tempDir(),
    running: () => 0,
    processors: 2,
    logger: pino({ level: 'silent' }),
  });
  pool.setQueued([spec]);
  const stop = new AbortController();
  const taken = pool.take({ shape }, stop.signal);
  stop.abort('cancelled');
  await expect(taken).rejects.toMatchObject({ code: 'execution.cancelled' });
  expect(pool.size()).toBe(0);
  await asked.promise;
  launching.reject(new Error('the launcher has stopped'));
  await pool.stop();
  expect(reaped).toHaveLength(1);
});
