/**
 * What `src/queue` and `workers/` use of BullMQ beyond its documents, in the version that
 * package.json pins: the pool of sandboxed processes, a process, its messages and its errors.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Child, ChildPool, type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../helpers/eventually.ts';
import { isAlive } from '../helpers/proc.ts';
import { startTestRedis } from '../helpers/redis.ts';
import { shared, whenOver } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';

const MAIN = createRequire(import.meta.url).resolve('bullmq/dist/cjs/classes/main.js');
const LONG_MS = 3_600_000;
/** The message that starts a job, and its answer when the job is completed. */
const [START, COMPLETED] = [1, 0];

/** Does what a job's data say. */
const PROCESSOR = `
  const named = (name) => Object.assign(new Error('why'), { name });
  export default async (job, token, signal) => {
    if (job.data.name === 'DelayedError') await job.moveToDelayed(Date.now() + ${LONG_MS}, token);
    if (job.data.name) throw named(job.data.name);
    process.send({ cmd: 'unknown' });
    if (job.data.wait) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return { pid: process.pid, aborted: signal.aborted };
  };`;

function processor(text = PROCESSOR): string {
  const file = join(tempDir(), 'processor.mjs');
  writeFileSync(file, text);
  return pathToFileURL(file).href;
}

function newPool() {
  const pool = new ChildPool({ mainFile: MAIN });
  onTestFinished(() => pool.clean());
  return pool;
}

/** A queue and its worker, whose pool is reached as `worker-pool.ts` does. */
async function startWorker(concurrency = 1) {
  const redis = await startTestRedis();
  const connection = new Redis(redis.url, { maxRetriesPerRequest: null });
  const queue = new Queue('q', { connection });
  const file = processor();
  const calls: (string | undefined)[] = [];
  class Counting extends Worker {
    protected override callProcessJob(...[job, token, signal]: Parameters<Worker['callProcessJob']>) {
      calls.push(job.id);
      return super.callProcessJob(job, token, signal);
    }
  }
  const worker = new Counting('q', new URL(file), { connection, concurrency, autorun: false });
  const { childPool: pool } = worker as unknown as { childPool: ChildPool }; // as: see worker-pool.ts
  whenOver(async () => {
    await worker.close(true);
    await queue.close();
    connection.disconnect();
    await redis.stop();
  });
  void worker.run();
  const job = (data: object, attempts = 3): Promise<Job> => queue.add('j', data, { attempts });
  const completed = async (one: Job) => {
    const ended = await eventually(async () => {
      const now = await queue.getJob(one.id ?? '');
      return now?.finishedOn === undefined ? null : now;
    });
    return ended;
  };
  return { worker, queue, pool, file, calls, job, completed };
}

describe('the pool of sandboxed processes', () => {
  it('gives the process that was released last, by the name of the processor', async () => {
    const pool = newPool();
    const file = processor();
    const [first, second] = [await pool.retain(file), await pool.retain(file)];
    expect(Object.values(pool.retained)).toEqual(expect.arrayContaining([first, second]));
    pool.release(first);
    pool.release(second);
    expect([pool.retained, pool.getFree(file)]).toEqual([{}, [first, second]]);

    expect(await pool.retain(file)).toBe(second);

    expect([pool.retained, pool.getFree(file)]).toEqual([{ [second.pid]: second }, [first]]);
  });

  it('forgets a process that is killed or removed at once', async () => {
    const pool = newPool();
    const file = processor();
    const child = await pool.retain(file);
    pool.release(child);

    const killed = pool.kill(child);

    expect([pool.getFree(file), child.killed]).toEqual([[], true]);
    await killed;
    expect([isAlive(child.pid), child.signalCode]).toEqual([false, 'SIGKILL']);
    pool.release(child);
    pool.remove(child);
    expect(pool.getFree(file)).toEqual([]);
  });

  it('is asked for a process, and given it back, by its own properties at each delivery', async () => {
    const { pool, file, calls, job, completed } = await startWorker();
    const seen: unknown[] = [];
    const [retain, release] = [pool.retain.bind(pool), pool.release.bind(pool)];
    pool.retain = (name) => {
      seen.push(name);
      return retain(name);
    };
    pool.release = (child) => {
      seen.push(child.pid);
      release(child);
    };

    const added = await job({});
    const { returnvalue } = await completed(added);

    expect(seen).toEqual([file, returnvalue.pid]);
    expect(calls).toEqual([added.id]);
  });
});

describe('a sandboxed process', () => {
  it('is ready when its processor is loaded, or says why it is not', async () => {
    const well = new Child(MAIN, processor());
    onTestFinished(() => well.kill());
    await well.init();
    expect(isAlive(well.childProcess?.pid ?? 0)).toBe(true);

    const ill = new Child(MAIN, processor('export default (;'));
    ill.on('error', () => undefined);
    const exited = once(ill, 'exit');
    await expect(ill.init()).rejects.toThrow('Unexpected token');
    expect(await exited).toEqual([1, null]);
  });

  it('takes a delivery at once when another one has ended, and ignores unknown messages', async () => {
    const pool = newPool();
    const child = await pool.retain(processor());
    const answers: { cmd: unknown; value?: unknown }[] = [];
    child.on('message', (answer) => answers.push(answer));
    await child.send({ cmd: 'unknown' });
    const start = { cmd: START, job: { id: '1', data: '{}', returnvalue: '{}' }, token: 't' };
    for (let round = 0; round < 200; round += 1) {
      void child.send(start);
      do await once(child, 'message');
      while (answers.at(-1)?.cmd === 'unknown');
    }
    expect(answers.filter(({ cmd }) => cmd !== 'unknown').map(({ cmd }) => cmd)).toEqual(
      Array(200).fill(COMPLETED),
    );
  });
});

describe('a delivery', () => {
  const started = shared(() => startWorker());

  it('that throws a DelayedError by its own name has moved its job, and has not failed', async () => {
    const { queue, job } = await started();
    const { id = '' } = await job({ name: 'DelayedError' });
    await eventually(async () => expect(await queue.getDelayedCount()).toBe(1));
    const moved = await queue.getJob(id);
    expect([moved?.failedReason, moved?.attemptsMade]).toEqual([undefined, 0]);
  });

  it('that throws an UnrecoverableError by its own name is not repeated; another error is', async () => {
    const { job, completed } = await started();
    const [once, thrice] = [await job({ name: 'UnrecoverableError' }), await job({ name: 'Error' })];
    expect(await completed(once)).toMatchObject({ failedReason: 'why', attemptsMade: 1 });
    expect(await completed(thrice)).toMatchObject({ failedReason: 'why', attemptsMade: 3 });
  });

  it('gets an AbortSignal, which a cancel aborts', async () => {
    const { worker, calls, job, completed } = await started();
    const added = await job({ wait: true });
    await eventually(() => expect(calls).toContain(added.id));
    worker.cancelAllJobs('shutdown');
    expect((await completed(added)).returnvalue).toMatchObject({ aborted: true });
  });
});
