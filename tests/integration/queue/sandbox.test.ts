import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Job as BullJob } from 'bullmq';
import { describe, expect, it } from 'vitest';
import { createPromptQueue, type PromptQueue } from '../../../src/queue/prompt-queue.ts';
import { createNames } from '../../../src/redis/names.ts';
import { eventually } from '../../helpers/eventually.ts';
import { descendants, isAlive } from '../../helpers/proc.ts';
import { PROGRAM } from '../../helpers/program.ts';
import { startServer } from '../../helpers/server.ts';
import { shared, whenOver } from '../../helpers/shared.ts';
import { tempDir } from '../../helpers/temp.ts';
import { accepted, breakableRedis, fakeClis, sandboxesOf, sharedBench } from '../fault-bench.ts';

const POOL_MAIN = fileURLToPath(new URL('./pool-main.ts', import.meta.url));
const NAMES = createNames({ prefix: 'bullpen', requestChannel: 'requests', responseChannel: 'responses' });
const PATIENCE = { timeoutMs: 40_000 };

interface Pool {
  readonly queue: PromptQueue;
  readonly main: ChildProcess & { readonly pid: number };
  /** The output of the main process. */
  output(): string;
  add(id: string): Promise<void>;
  job(id: string): Promise<BullJob>;
  /** The job, once it is completed. */
  completed(id: string): Promise<BullJob>;
}

/** A worker pool in a main process of its own, with the crashing processor. */
async function startPool(concurrency: number, processor = 'crashing'): Promise<Pool> {
  const redis = await breakableRedis();
  const queue = createPromptQueue(redis.admin, NAMES);
  const main = fork(POOL_MAIN, [redis.url, String(concurrency), processor], {
    execArgv: ['--no-warnings'],
    silent: true,
  });
  whenOver(async () => {
    if (main.exitCode === null && main.signalCode === null) {
      main.kill('SIGKILL');
      await once(main, 'exit');
    }
    await queue.close();
  });
  const chunks: string[] = [];
  for (const stream of [main.stdout, main.stderr]) stream?.on('data', (chunk) => chunks.push(String(chunk)));
  await once(main, 'message');
  if (main.pid === undefined) throw new Error('the main process has no pid');

  const pool: Pool = {
    queue,
    main: Object.assign(main, { pid: main.pid }),
    output: () => chunks.join(''),
    add: (id) => queue.add({ id, delayMs: 0 }),
    async job(id) {
      const job = await queue.queue.getJob(id);
      if (job === undefined) throw new Error(`there is no job ${id}`);
      return job;
    },
    async completed(id) {
      await eventually(async () => (await pool.job(id)).isCompleted(), PATIENCE);
      return pool.job(id);
    },
  };
  return pool;
}

/** Deliveries that failed before the one that completed it. */
const failuresOf = (job: BullJob): number => job.attemptsMade - 1;

describe('a sandboxed process that dies', () => {
  const alone = shared(() => startPool(1));

  it.each([
    { way: 'exit', why: 'Unexpected exit code: 0 signal: null' },
    { way: 'kill', why: 'Unexpected exit code: null signal: SIGKILL' },
    // SIGABRT, or SIGKILL as a process that hangs, where that takes long
    { way: 'memory', why: 'Unexpected exit code: null signal: SIG' },
  ])('by $way fails its own delivery, which is made again, and nothing else', async ({ way, why }) => {
    const pool = await alone();
    const ids = [`healthy-before-${way}`, `${way}-1`, `healthy-after-${way}`] as const;
    for (const id of ids) await pool.add(id);

    const [before, crashed, after] = [
      await pool.completed(ids[0]),
      await pool.completed(ids[1]),
      await pool.completed(ids[2]),
    ];

    expect(crashed.stacktrace?.[0]).toContain(why);
    expect([before, crashed, after].map(failuresOf)).toEqual([0, 1, 0]);
    expect(isAlive(pool.main.pid)).toBe(true);
  });

  it('never harms the healthy jobs between those that crash', async () => {
    const pool = await alone();
    const crashing = Array.from({ length: 4 }, (_, at) => `${['throw', 'reject'][at % 2]}-again-${at}`);
    const healthy = crashing.map((_, at) => `healthy-${at}`);
    for (const [at, id] of crashing.entries()) {
      await pool.add(id);
      await pool.add(`healthy-${at}`);
    }

    for (const id of healthy) expect(failuresOf(await pool.completed(id)), id).toBe(0);
    for (const id of crashing) {
      const crashed = await pool.completed(id);
      expect(failuresOf(crashed), id).toBe(1);
      expect(crashed.stacktrace?.[0], id).toContain('Unexpected exit code: 70 signal: null');
    }

    expect(isAlive(pool.main.pid)).toBe(true);
    expect(pool.output()).not.toMatch(/ERR_IPC_CHANNEL_CLOSED|EPIPE|[Uu]nhandled/);
  });

  it('does not die when its processor throws', async () => {
    const pool = await alone();
    await pool.add('healthy-1');
    await pool.completed('healthy-1');
    const sandboxes = sandboxesOf(pool.main.pid);
    expect(sandboxes).toHaveLength(1);
    await pool.add('fail-1');

    const failed = await pool.completed('fail-1');

    expect(failed.stacktrace?.[0]).toContain('an ordinary failure');
    expect(sandboxes.filter(isAlive)).toEqual(sandboxes);
  });
});

describe('a main process that is killed', () => {
  it('leaves no sandboxed process behind', async () => {
    const pool = await startPool(3);
    for (const id of ['hold-1', 'hold-2', 'healthy-1']) await pool.add(id);
    await pool.completed('healthy-1');
    await eventually(async () => (await pool.queue.queue.getActiveCount()) === 2, PATIENCE);
    const sandboxes = sandboxesOf(pool.main.pid);
    expect(sandboxes.length).toBeGreaterThanOrEqual(2);

    pool.main.kill('SIGKILL');

    await eventually(() => expect(sandboxes.filter(isAlive)).toEqual([]), PATIENCE);
  });
});

describe('a sandboxed process of the real server', () => {
  const setUp = sharedBench({ BULLPEN_WORKERS: '1' });

  it('ignores a Ctrl-C that reaches the whole terminal: the server stops it', async () => {
    const { server } = await setUp();
    await server.run({ provider: 'echo', prompt: 'one' });
    const sandboxes = sandboxesOf(server.pid);

    for (const pid of sandboxes) process.kill(pid, 'SIGINT');
    await server.run({ provider: 'echo', prompt: 'two' });

    expect(sandboxesOf(server.pid)).toEqual(sandboxes);
  });

  it('that is killed while it is idle is replaced, and the next jobs do not notice', async () => {
    const { clis, server } = await setUp();
    for (let round = 0; round < 4; round += 1) {
      const prompt = `round ${round}`;
      expect(await server.run({ provider: 'echo', prompt })).toMatchObject({ status: 'succeeded' });
      for (const pid of sandboxesOf(server.pid)) process.kill(pid, 'SIGKILL');
    }
    const job = await server.run({ provider: 'echo', prompt: 'last' });

    expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'last' } });
    expect(clis.spawns()).toHaveLength(5);
  });
});

it('an upgrade in place, which takes the files of the workers away, fails no job and is named by /ready', async () => {
  const root = tempDir();
  cpSync(join(PROGRAM, '../..'), root, { recursive: true, verbatimSymlinks: true });
  const [program, workers] = [join(root, 'src/bin.js'), join(root, 'dist/workers')];
  const clis = await fakeClis();
  const server = await startServer({ config: clis.config, program, env: { BULLPEN_WORKERS: '1' } });
  await server.run({ provider: 'echo', prompt: 'before' });
  renameSync(workers, join(root, 'away'));
  for (const pid of sandboxesOf(server.pid)) process.kill(pid, 'SIGKILL');
  const jobs = await Promise.all(
    ['one', 'two'].map((prompt) => accepted(server, { provider: 'echo', prompt })),
  );
  const readiness = async () => (await server.api('GET', '/ready')).json();
  const broken = { ok: false, detail: expect.stringContaining('workers/bootstrap') };
  await eventually(
    async () => expect(await readiness()).toMatchObject({ ready: false, checks: { workers: broken } }),
    PATIENCE,
  );
  expect(await server.job(jobs[0] ?? '')).toMatchObject({ status: 'queued', attempts: 0 });

  renameSync(join(root, 'away'), workers);

  for (const id of jobs)
    expect(await server.finished(id)).toMatchObject({ status: 'succeeded', attempts: 1 });
  expect(await readiness()).toMatchObject({ ready: true });
  expect(server.log().match(/Cannot find module.*a part does not work/g)).toHaveLength(1);
});

it.each([
  ['stops', 'SIGTERM', [0, null]],
  ['is killed', 'SIGKILL', [null, 'SIGKILL']],
] as const)('a pool that %s leaves no process that was starting', async (_how, signal, end) => {
  const { main } = await startPool(2, 'slow');
  const children = (): number[] => descendants(main.pid).filter((pid) => isAlive(pid));
  await eventually(() => expect(children()).toHaveLength(1), PATIENCE);
  const [starting = 0] = children();
  const exited = once(main, 'exit', { signal: AbortSignal.timeout(PATIENCE.timeoutMs) });
  main.kill(signal);
  expect(await exited).toEqual(end);
  await eventually(() => expect(isAlive(starting)).toBe(false), PATIENCE);
});
