/**
 * ③ The sandboxed workers of BullMQ: forked processes with their own crash and exit rules
 * (`workers/bootstrap.ts`). They are not threads, because a thread without memory crashes the
 * server.
 */
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Child, type ChildPool, type Job, type SandboxedOptions, Worker } from 'bullmq';
import type { Logger } from 'pino';
import { type WorkerSettings, workerEnvironment } from '../config/worker.ts';
import { messageOf } from '../errors.ts';
import { createLogLimit } from '../log.ts';
import { createOutage } from '../outage.ts';
import { closeConnection, openConnection } from '../redis/connection.ts';
import type { Names } from '../redis/names.ts';
import { siblingModule } from '../sibling-module.ts';
import { type Delivery, redeliveryDelay } from './prompt-queue.ts';
import { createWorkerProcesses } from './worker-processes.ts';

/** A stalled delivery is always repeated: the job's record limits its attempts. */
const STALLS_ALLOWED = Number.MAX_SAFE_INTEGER;
const WORKER_FLAGS = [
  '--no-warnings',
  '--max-old-space-size=128',
  // 5 MB less: the young generation would keep the size it needed at the start.
  '--max-semi-space-size=1',
  '--expose-gc', // see `workers/prompt.worker.ts`
];
/** The program of a sandboxed process; it loads the processor. */
const SANDBOX = fileURLToPath(siblingModule(import.meta.url, '../../workers/bootstrap'));
/** Time for cancelled deliveries and BullMQ's loop to end. */
const END_WITHIN_MS = 3000;
const UNREF = { ref: false };

export interface WorkerPoolOptions {
  /** Settings of the worker processes; they may have a Redis user of their own. */
  readonly settings: WorkerSettings;
  /** The Redis URL of the main process. */
  readonly redisUrl: string;
  readonly names: Names;
  readonly concurrency: number;
  readonly lockMs: number;
  /** The module that BullMQ loads in each process. */
  readonly processor: URL;
  readonly logger: Logger;
}

export interface WorkerPool {
  start(): Promise<void>;
  /** Takes no new job. The jobs in progress go on. */
  pause(): Promise<void>;
  /** Why no job can be delivered now; null when it can. */
  problem(): string | null;
  /** Stops every worker process. */
  stop(): Promise<void>;
}

export function createWorkerPool({
  settings,
  redisUrl,
  names,
  concurrency,
  lockMs,
  processor,
  logger,
}: WorkerPoolOptions): WorkerPool {
  const connection = openConnection(redisUrl, 'bullmq', 'workers', logger);
  // Each child's output is piped into ours: more than Node's ten listeners.
  process.stdout.setMaxListeners(0);
  process.stderr.setMaxListeners(0);

  const sandbox: SandboxedOptions = {
    useWorkerThreads: false,
    workerForkOptions: {
      env: workerEnvironment(settings),
      execArgv: WORKER_FLAGS,
      serialization: 'json',
    },
  };
  const deliveries = new Set<Promise<unknown>>();
  function newChild(): Child {
    // Without this file Node says why on its stderr only; an upgrade in place takes it away.
    if (!existsSync(SANDBOX)) throw new Error(`Cannot find module '${SANDBOX}'`);
    return new Child(SANDBOX, processor.href, sandbox);
  }
  /** Records each delivery before it has a process. */
  class PromptWorker extends Worker<Delivery> {
    protected override callProcessJob(job: Job<Delivery>, token: string, signal?: AbortSignal) {
      return keep(super.callProcessJob(job, token, signal));
    }
  }
  const worker = new PromptWorker(names.queue, processor, {
    connection,
    prefix: names.prefix,
    concurrency,
    lockDuration: lockMs,
    stalledInterval: lockMs / 2,
    maxStalledCount: STALLS_ALLOWED,
    autorun: false,
    settings: { backoffStrategy: redeliveryDelay },
    ...sandbox,
  });
  worker.on('error', (error) => logger.debug({ reason: messageOf(error) }, 'bullmq worker error'));
  const logLimit = createLogLimit();
  worker.on('failed', (job, error) => {
    // UnrecoverableError: the job itself has failed, which its outcome explains.
    if (job === undefined || error.name === 'UnrecoverableError') return;
    const { jobId } = job.data;
    const times = logLimit(error.message);
    if (times !== null)
      logger.warn({ jobId, reason: error.message, times }, 'a worker process failed its delivery');
  });
  worker.on('lockRenewalFailed', (ids) => logger.warn({ jobIds: ids }, 'bullmq locks could not be renewed'));

  // as: BullMQ exports the pool's class but hides a worker's pool. package.json pins the exact
  // version.
  const { childPool } = worker as unknown as { childPool: ChildPool };
  const processes = createWorkerProcesses({
    pool: childPool,
    file: processor.href,
    newChild,
    count: concurrency,
    deliveries,
    outage: createOutage('workers', logger),
  });
  childPool.retain = processes.retain;
  childPool.release = processes.release;

  function keep<T>(call: Promise<T>): Promise<T> {
    const forget = (): boolean => deliveries.delete(call);
    deliveries.add(call);
    call.then(forget, forget);
    return call;
  }

  let running: Promise<void> | null = null;
  const pool: WorkerPool = {
    problem: processes.problem,

    async start() {
      if (running !== null) return;
      await worker.waitUntilReady();
      void processes.startAhead(); // a delivery that comes before starts its own process
      running = worker.run().catch((error: unknown) => {
        logger.debug({ reason: messageOf(error) }, 'the bullmq worker stopped');
      });
    },
    async pause() {
      await worker.pause(true);
    },
    async stop() {
      processes.stop();
      await worker.pause(true);
      // close() alone would wait for the jobs. Cancelled deliveries end at once and are repeated
      // later.
      worker.cancelAllJobs('shutdown');
      await Promise.race([Promise.allSettled(deliveries), delay(END_WITHIN_MS, null, UNREF)]);
      await worker.close(true);
      closeConnection(connection);
      // The loop ends with its connections, but not while it waits for a Redis that is away.
      await Promise.race([running, delay(END_WITHIN_MS, null, UNREF)]);
    },
  };
  return pool;
}
