import { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Child, ChildPool } from 'bullmq';
import { expect, it, onTestFinished, vi } from 'vitest';
import { createLogger } from '../../../src/logger.ts';
import { createOutage } from '../../../src/outage.ts';
import { createWorkerProcesses } from '../../../src/queue/worker-processes.ts';
import { eventually } from '../../helpers/eventually.ts';
import { isAlive } from '../../helpers/proc.ts';
import { tempDir } from '../../helpers/temp.ts';

const FILE = new URL('../../fakes/crashing.worker.ts', import.meta.url).href;
const SANDBOX = fileURLToPath(new URL('../../../workers/bootstrap.ts', import.meta.url));
const COUNT = 3;
const PATIENCE = { timeoutMs: 30_000 };

function setUp({
  file = FILE,
  execPath = () => process.execPath,
  pingEveryMs = 60_000,
  spareForMs = 60_000,
  startWithinMs = 30_000,
} = {}) {
  const pool = new ChildPool({ mainFile: SANDBOX });
  const deliveries = new Set<Promise<unknown>>();
  const logged: { level: number; reason?: string }[] = [];
  const outage = createOutage(
    'workers',
    createLogger('info', { write: (line) => void logged.push(JSON.parse(line)) }),
  );
  let forks = 0;
  const processes = createWorkerProcesses({
    ...{ pool, file, count: COUNT, deliveries, outage, startWithinMs, pingEveryMs, spareForMs },
    processors: 2,
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
  const ends = new Map<Child, () => void>();
  /** A delivery's process; `end` ends the delivery. */
  async function retain(): Promise<Child> {
    const { promise, resolve } = Promise.withResolvers<void>();
    deliveries.add(promise);
    const child = await processes.retain();
    const over = (): void => {
      deliveries.delete(promise);
      resolve();
    };
    ends.set(child, over);
    child.once('exit', over);
    return child;
  }
  function end(child: Child): void {
    processes.release(child);
    ends.get(child)?.();
  }
  return { pool, processes, retain, end, free, outage, logged, forks: () => forks };
}

it('two processes wait for the first deliveries, and a third one starts when it is needed', async () => {
  const { processes, free, retain } = setUp();
  await processes.startAhead();
  const ahead = free();
  expect(new Set(ahead).size).toBe(2);

  const taken = await Promise.all([retain(), retain(), retain()]);

  expect(taken.map(({ pid }) => pid)).toEqual(expect.arrayContaining(ahead));
  expect(new Set(taken.map(({ pid }) => pid)).size).toBe(COUNT);
});

it('deliveries that run for long leave a process for the next one', async () => {
  const { processes, free, forks, retain } = setUp();
  await processes.startAhead();
  await Promise.all([retain(), retain()]);
  await eventually(() => expect(free()).toHaveLength(1), PATIENCE);
  await retain();
  await processes.startAhead();
  expect([free(), forks()]).toEqual([[], COUNT]);
});

it('a delivery that comes while a process is starting takes it', async () => {
  const { processes, free, forks, retain } = setUp();
  const ahead = processes.startAhead();
  const first = await retain();
  expect(forks()).toBe(1);
  await ahead;
  expect(isAlive(first.pid)).toBe(true);
  expect(free()).not.toContain(first.pid);
});

it('a burst of deliveries that end soon needs no further process', async () => {
  const { processes, forks, retain, end } = setUp();
  await processes.startAhead();
  const burst = Array.from({ length: 8 }, () => retain().then(end));
  await Promise.all(burst);
  expect(forks()).toBe(2);
});

it('a delivery that waits takes the process of one that ends', async () => {
  const { processes, retain, end } = setUp();
  await processes.startAhead();
  const [first] = await Promise.all([retain(), retain()]);
  const waiting = retain();
  end(first);
  expect((await waiting).pid).toBe(first.pid);
});

it('free processes beyond two stop when they had no delivery for a while, the others stay', async () => {
  const { free, retain, end } = setUp({ spareForMs: 300 });
  const taken = await Promise.all([retain(), retain(), retain()]);
  const [oldest, busy, last] = taken;
  end(oldest);
  end(last);
  await retain().then(end); // the last one was used again
  expect(free()).toEqual([oldest.pid, last.pid]);
  end(busy);

  await eventually(() => expect(isAlive(oldest.pid)).toBe(false), PATIENCE);

  expect(free()).toEqual([last.pid, busy.pid]);
});

it('no delivery gets a process that is being stopped', async () => {
  const { retain, end } = setUp({ spareForMs: 1 });
  for (let round = 0; round < 4; round += 1) {
    const taken = await Promise.all([retain(), retain(), retain()]);
    for (const child of taken) {
      const { promise: answer, resolve } = Promise.withResolvers<void>();
      child.once('message', resolve);
      await child.send({ cmd: 'ping' });
      await answer;
    }
    for (const child of taken) end(child);
    await delay(round % 3);
  }
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
  const { retain, end, outage, logged, forks } = setUp({ pingEveryMs: 400 });
  const [hung, well] = [await retain(), await retain()];
  process.kill(hung.pid, 'SIGSTOP');
  await eventually(() => expect(isAlive(hung.pid)).toBe(false), PATIENCE);
  await eventually(() => expect(outage.problem()).toBeNull(), PATIENCE);
  expect(forks()).toBeGreaterThan(2);
  expect(isAlive(well.pid)).toBe(true);
  expect(logged).toMatchObject([{ reason: 'a worker process did not answer for 2 s' }, { level: 30 }]);
  end(well);
});

const { kill } = ChildProcess.prototype;
function signalIfStarted(this: ChildProcess, signal?: NodeJS.Signals | number): boolean {
  return this.pid !== undefined && kill.call(this, signal);
}

const HEALTHY = 'export default async () => undefined;';

it.each([
  { why: 'its file is gone', text: null, said: 'Cannot find module' },
  { why: 'it exits at once', text: 'process.exit(0);', said: 'it exited with code 0 while' },
  { why: 'it hangs', text: 'for (;;);', said: 'it was not ready within 2000 ms' },
  { why: 'there is no program', text: HEALTHY, program: '/nonexistent/node', said: 'ENOENT' },
])(
  'deliveries wait while no process starts ($why), and go on when one does',
  async ({ why, text, said, program }) => {
    const file = join(tempDir(), 'some.worker.mjs');
    if (text !== null) writeFileSync(file, text);
    // Node may send the signal of a process that was not started to process 0: to our whole group.
    const signalled = vi.spyOn(ChildProcess.prototype, 'kill').mockImplementation(signalIfStarted);
    onTestFinished(() => signalled.mockRestore());
    let binary = program ?? process.execPath;
    const { processes, outage, logged, pool, forks } = setUp({
      file: pathToFileURL(file).href,
      execPath: () => binary,
      startWithinMs: why === 'it hangs' ? 2000 : undefined,
    });
    const deliveries = Promise.all(Array.from({ length: COUNT }, () => processes.retain()));
    await eventually(() => expect(outage.problem()).toContain(said), PATIENCE);
    await eventually(() => expect(forks()).toBeGreaterThan(2), PATIENCE);

    writeFileSync(file, HEALTHY);
    binary = process.execPath;

    for (const child of await deliveries) pool.release(child);
    expect(outage.problem()).toBeNull();
    expect(logged.map(({ level }) => level)).toEqual([50, 30]);
    const unstarted = (one: unknown): boolean => one instanceof ChildProcess && one.pid === undefined;
    expect(signalled.mock.contexts.filter(unstarted)).toEqual([]);
  },
);
