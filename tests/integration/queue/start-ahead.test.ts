import { createRequire } from 'node:module';
import { ChildPool } from 'bullmq';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { createWorkerProcesses } from '../../../src/queue/worker-processes.ts';
import { isAlive } from '../../helpers/proc.ts';

const FILE = new URL('../../fakes/crashing.worker.ts', import.meta.url).href;
const COUNT = 3;

function setUp() {
  const pool = new ChildPool({
    mainFile: createRequire(import.meta.url).resolve('bullmq/dist/cjs/classes/main.js'),
    useWorkerThreads: false,
    workerForkOptions: { execArgv: ['--no-warnings'], serialization: 'json' },
  });
  onTestFinished(() => pool.clean());
  const deliveries = new Set<Promise<unknown>>();
  const processes = createWorkerProcesses({
    pool,
    file: FILE,
    count: COUNT,
    deliveries,
    logger: pino({ enabled: false }),
  });
  const free = (): number[] => pool.getFree(FILE).map(({ pid }) => pid);
  return { pool, processes, deliveries, free };
}

it('the first deliveries at once find their processes started: none is forked for them', async () => {
  const { pool, processes, free } = setUp();
  await processes.startFirst();
  await processes.startOthers();
  const ahead = free();
  expect(new Set(ahead).size).toBe(COUNT);

  const taken = await Promise.all(Array.from({ length: COUNT }, () => pool.retain(FILE)));

  expect(taken.map(({ pid }) => pid).sort()).toEqual(ahead.sort());
  for (const child of taken) pool.release(child);
});

it('a delivery that comes while its process is starting does not leave one too many', async () => {
  const { pool, processes, deliveries, free } = setUp();
  await processes.startFirst();
  const others = processes.startOthers();
  const [held, own] = [Promise.withResolvers<void>(), pool.retain(FILE)];
  deliveries.add(held.promise);
  deliveries.add(own);
  const first = await own;
  await others;

  expect(free().length + deliveries.size).toBe(COUNT);
  expect(isAlive(first.pid)).toBe(true);
  expect(free()).not.toContain(first.pid);
  held.resolve();
});

it('a stop leaves no process that was starting', async () => {
  const { processes, free } = setUp();
  await processes.startFirst();
  const others = processes.startOthers();
  processes.stop();
  await others;
  expect(free()).toHaveLength(1);
});
