import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Child, ChildPool } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { createLogger } from '../../../src/logger.ts';
import { createOutage } from '../../../src/outage.ts';
import { createWorkerProcesses } from '../../../src/queue/worker-processes.ts';
import { eventually } from '../../helpers/eventually.ts';
import { isAlive } from '../../helpers/proc.ts';
import { tempDir } from '../../helpers/temp.ts';

const FILE = new URL('../../fakes/crashing.worker.ts', import.meta.url).href;
const SANDBOX = createRequire(import.meta.url).resolve('bullmq/dist/cjs/classes/main.js');
const COUNT = 3;
const PATIENCE = { timeoutMs: 30_000 };

function setUp(file = FILE, execPath = () => process.execPath, pingEveryMs = 60_000) {
  const pool = new ChildPool({ mainFile: SANDBOX });
  const deliveries = new Set<Promise<unknown>>();
  const logged: { level: number; reason?: string }[] = [];
  const outage = createOutage(
    'workers',
    createLogger('info', { write: (line) => void logged.push(JSON.parse(line)) }),
  );
  let forks = 0;
  const processes = createWorkerProcesses({
    ...{ pool, file, count: COUNT, deliveries, outage, startWithinMs: 2000, pingEveryMs },
    newChild() {
      forks += 1;
      const workerForkOptions = { execArgv: ['--no-warnings'], execPath: execPath() };
      return new Child(SANDBOX, file, { useWorkerThreads: false, workerForkOptions });
    },
  });
  onTestFinished(async () => {
    processes.stop();
    await pool.clean();
  });
  const free = (): number[] => pool.getFree(file).map(({ pid }) => pid);
  return { pool, processes, deliveries, free, outage, logged, forks: () => forks };
}

it('the first deliveries find their processes started', async () => {
  const { pool, processes, free } = setUp();
  await processes.startAhead();
  const ahead = free();
  expect(new Set(ahead).size).toBe(COUNT);

  const taken = await Promise.all(Array.from({ length: COUNT }, () => processes.retain()));

  expect(taken.map(({ pid }) => pid).sort()).toEqual(ahead.sort());
  for (const child of taken) pool.release(child);
});

it('a delivery that comes while its process is starting leaves no extra process', async () => {
  const { processes, deliveries, free } = setUp();
  const ahead = processes.startAhead();
  const [held, own] = [Promise.withResolvers<void>(), processes.retain()];
  deliveries.add(held.promise);
  deliveries.add(own);
  const first = await own;
  await ahead;

  expect(free().length + deliveries.size).toBe(COUNT);
  expect(isAlive(first.pid)).toBe(true);
  expect(free()).not.toContain(first.pid);
  held.resolve();
});

it('a stop leaves no process that was starting', async () => {
  const { processes, free, forks } = setUp();
  const ahead = processes.startAhead();
  const waiting = processes.retain().catch((error: unknown) => error);
  await eventually(() => forks() > 0);
  processes.stop();
  await ahead;
  expect(free()).toEqual([]);
  expect(await waiting).toMatchObject({ message: 'the workers are being stopped' });
});

it('a process that hangs with a delivery is killed and replaced, and no other one', async () => {
  const { pool, processes, outage, logged, free } = setUp(FILE, undefined, 400);
  const [hung, well] = [await processes.retain(), await processes.retain()];
  process.kill(hung.pid, 'SIGSTOP');
  await eventually(() => expect(isAlive(hung.pid)).toBe(false), PATIENCE);
  await eventually(() => expect([outage.problem(), free().length]).toEqual([null, 1]), PATIENCE);
  expect(isAlive(well.pid)).toBe(true);
  expect(logged).toMatchObject([{ reason: 'a worker process did not answer for 2 s' }, { level: 30 }]);
  pool.release(well);
});

const HEALTHY = 'export default async () => undefined;';

it.each([
  { why: 'its file is gone', text: null, said: 'Cannot find module' },
  { why: 'its file is broken', text: 'export default (;', said: 'Unexpected token' },
  { why: 'it exits at once', text: 'process.exit(0);', said: 'it exited with code 0 while' },
  {
    why: 'it is killed',
    text: 'process.kill(process.pid, "SIGKILL");',
    said: 'it exited with SIGKILL while',
  },
  { why: 'it hangs', text: 'for (;;);', said: 'it was not ready within 2000 ms' },
  { why: 'there is no program', text: HEALTHY, program: '/nonexistent/node', said: 'ENOENT' },
])(
  'deliveries wait while no process starts ($why), and go on when one does',
  async ({ text, said, program }) => {
    const file = join(tempDir(), 'some.worker.mjs');
    if (text !== null) writeFileSync(file, text);
    let binary = program ?? process.execPath;
    const { processes, outage, logged, pool, forks } = setUp(pathToFileURL(file).href, () => binary);
    const deliveries = Promise.all(Array.from({ length: COUNT }, () => processes.retain()));
    await eventually(() => expect(outage.problem()).toContain(said), PATIENCE);
    // Each delivery tries once, then one at a time.
    await eventually(() => expect(forks()).toBeGreaterThan(COUNT + 1), PATIENCE);

    writeFileSync(file, HEALTHY);
    binary = process.execPath;

    for (const child of await deliveries) pool.release(child);
    expect(outage.problem()).toBeNull();
    expect(logged.map(({ level }) => level)).toEqual([50, 30]);
  },
);
