/**
 * ③ The sandboxed workers: forked processes (never threads: one that runs out of memory would take the server
 * along), each with its own crash and orphan guards (`workers/bootstrap.ts`).
 */
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { Child, type ChildPool, type Job, type SandboxedOptions, Worker } from 'bullmq';
import type { Logger } from 'pino';
import { type WorkerSettings, workerEnvironment } from '../config/worker.ts';
import { messageOf } from '../errors.ts';
import { createLogLimit } from '../logger.ts';
import { createOutage } from '../outage.ts';
import { closeConnection, openConnection } from '../redis/connection.ts';
import type { Names } from '../redis/names.ts';
import { siblingModule } from '../sibling-module.ts';
import { type Delivery, deliverAgainAfter } from './prompt-queue.ts';
import { createWorkerProcesses } from './worker-processes.ts';

/** A delivery that stalls is made again, for ever: the job's own record bounds it. */
const STALLS_ALLOWED = Number.MAX_SAFE_INTEGER;
const WORKER_HEAP_MB = 128;
/** What BullMQ runs in a sandboxed process; it loads the processor. */
const SANDBOX = createRequire(import.meta.url).resolve('bullmq/dist/cjs/classes/main.js');
/** For cancelled deliveries to leave their processes. */
const LEAVE_WITHIN_MS = 3000;
const UNREF = { ref: false };

export interface WorkerPoolOptions {
  /** Of the processes; their Redis user may be one of their own. */
  readonly settings: WorkerSettings;
  /** The main process's own Redis. */
  readonly redisUrl: string;
  readonly names: Names;
  readonly concurrency: number;
  readonly lockMs: number;
  /** What runs in the sandbox; default: the prompt worker. */
  readonly processor?: URL;
  readonly logger: Logger;
}

export interface WorkerPool {
  start(): Promise<void>;
  /** Takes nothing new; what is taken goes on. */
  pause(): Promise<void>;
  /** Why no job can be delivered now, or null; there is a reason until the first process has started. */
  problem(): string | null;
  /** Ends every worker process. */
  stop(): Promise<void>;
}

export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  const { names, logger, settings } = options;
  const connection = openConnection(options.redisUrl, 'bullmq', 'workers', logger);
  // Each child's output is piped into ours.
  process.stdout.setMaxListeners(0);
  process.stderr.setMaxListeners(0);

  const processor = options.processor ?? siblingModule(import.meta.url, '../../workers/prompt.worker');
  const sandbox: SandboxedOptions = {
    useWorkerThreads: false,
    workerForkOptions: {
      env: workerEnvironment(settings),
      execArgv: ['--no-warnings', `--max-old-space-size=${WORKER_HEAP_MB}`],
      serialization: 'json',
    },
  };
  const deliveries = new Set<Promise<unknown>>();
  /** Knows its deliveries from before their process is there. */
  class PromptWorker extends Worker<Delivery> {
    protected override callProcessJob(job: Job<Delivery>, token: string, signal?: AbortSignal) {
      return keep(super.callProcessJob(job, token, signal));
    }
  }
  const worker = new PromptWorker(names.queue, processor, {
    connection,
    prefix: names.prefix,
    concurrency: options.concurrency,
    lockDuration: options.lockMs,
    stalledInterval: options.lockMs / 2,
    maxStalledCount: STALLS_ALLOWED,
    autorun: false,
    settings: { backoffStrategy: deliverAgainAfter },
    ...sandbox,
  });
  worker.on('error', (error) => logger.debug({ reason: messageOf(error) }, 'bullmq worker error'));
  const logLimit = createLogLimit();
  worker.on('failed', (job, error) => {
    // The job itself has failed: its outcome says why.
    if (job === undefined || error.name === 'UnrecoverableError') return;
    const { jobId } = job.data;
    const times = logLimit(error.message);
    if (times !== null)
      logger.warn({ jobId, reason: error.message, times }, 'a worker process failed its delivery');
  });
  worker.on('lockRenewalFailed', (ids) => logger.warn({ jobIds: ids }, 'bullmq locks could not be renewed'));

  // `as`: BullMQ exports the pool's class but keeps a worker's own pool private; package.json names one version.
  const { childPool } = worker as unknown as { childPool: ChildPool };
  const processes = createWorkerProcesses({
    pool: childPool,
    file: processor.href,
    newChild: () => new Child(SANDBOX, processor.href, sandbox),
    count: options.concurrency,
    deliveries,
    outage: createOutage('workers', logger),
  });
  childPool.retain = processes.retain;

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
      await worker.waitUntilReady().catch(async (error: unknown) => {
        await pool.stop();
        throw error;
      });
      void processes.startAhead(); // a delivery that comes meanwhile has one started for itself
      running = worker.run().catch((error: unknown) => {
        logger.debug({ reason: messageOf(error) }, 'the bullmq worker ended');
      });
    },
    async pause() {
      await worker.pause(true);
    },
    async stop() {
      processes.stop();
      await worker.pause(true);
      // close() alone waits for waiting jobs for ever; cancelled ones leave at once and are delivered again.
      worker.cancelAllJobs('shutdown');
      await Promise.race([Promise.allSettled(deliveries), delay(LEAVE_WITHIN_MS, null, UNREF)]);
      await worker.close(true);
      closeConnection(connection);
      // Its loop ends with its connections, unless it waits for a Redis that is away: then it waits for ever.
      await Promise.race([running, delay(LEAVE_WITHIN_MS, null, UNREF)]);
    },
  };
  return pool;
}
