/**
 * ② The BullMQ queue. It holds, delivers, delays and redelivers job ids. A job's content, state and
 * turn are in the records. A lost entry costs only time: it is added again when its job is to be
 * delivered.
 */
import { Job, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { AppError } from '../errors.ts';
import { noFailpoint } from '../failpoint.ts';
import type { Names } from '../redis/names.ts';
import { UNTIL_PROMOTED } from '../rpc/client.ts';
import { backoffMs } from '../timing.ts';

/** A failed delivery is a fault of the infrastructure, not of the job, so it is always repeated. */
const DELIVERIES = Number.MAX_SAFE_INTEGER;
const REDELIVERY = { firstMs: 1000, maxMs: 60_000 };

/** The worker's `backoffStrategy`: milliseconds before the next delivery, given the failed ones. */
export const redeliveryDelay = (failed: number): number => backoffMs(failed, REDELIVERY);

/** Entries of ended jobs, kept for Bull Board only; `age` in seconds. */
const KEEP_DELIVERED = { age: 3600, count: 1000 };
/** More than KEEP_DELIVERED keeps. */
const CLEAN_AT_ONCE = 10_000;
export interface Delivery {
  readonly jobId: string;
}

export interface QueueEntry {
  readonly id: string;
  /** Until BullMQ delivers it; null: until `deliver`. */
  readonly delayMs: number | null;
}

export interface PromptQueue {
  /** For Bull Board. */
  readonly queue: Queue<Delivery>;
  /** Enqueues a job. Idempotent. */
  add(job: QueueEntry): Promise<void>;
  /** Enqueues many jobs in one round trip. */
  addAll(jobs: readonly QueueEntry[]): Promise<void>;
  /** Has a job delivered now, also when BullMQ has lost its entry. */
  deliver(id: string): Promise<void>;
  /** The same for many jobs. What fails is left to the next sweep. */
  deliverSoon(ids: readonly string[]): void;
  /**
   * Makes all delivered jobs wait again, although workers hold their locks. For a start without
   * other servers, when those workers are dead. A delivery too many is harmless.
   */
  giveBackTaken(): Promise<void>;
  /**
   * Removes the entry of a job that is deleted or ended. Returns false when a worker holds it: the
   * worker will see that the job has ended.
   */
  remove(id: string): Promise<boolean>;
  /** Removes the entries of jobs that ended more than `ageMs` ago. */
  forgetOlder(ageMs: number): Promise<void>;
  close(): Promise<void>;
}

const optionsOf = ({ id, delayMs }: QueueEntry) => {
  const delay = delayMs ?? UNTIL_PROMOTED - Date.now();
  return { jobId: id, ...(delay > 0 ? { delay } : {}) };
};

export function createPromptQueue(redis: Redis, names: Names, failpoint = noFailpoint): PromptQueue {
  const queue = new Queue<Delivery>(names.queue, {
    connection: redis,
    prefix: names.prefix,
    defaultJobOptions: {
      attempts: DELIVERIES,
      backoff: { type: 'custom' }, // redeliveryDelay
      removeOnComplete: KEEP_DELIVERED,
      removeOnFail: KEEP_DELIVERED,
      stackTraceLimit: 2,
    },
  });
  // The connection logs its errors. Without a listener here they would crash the process.
  queue.on('error', () => undefined);

  const promptQueue: PromptQueue = {
    queue,
    async add(job) {
      await queue.add('prompt', { jobId: job.id }, optionsOf(job));
    },
    async addAll(jobs) {
      await queue.addBulk(
        jobs.map((job) => ({ name: 'prompt', data: { jobId: job.id }, opts: optionsOf(job) })),
      );
    },
    async deliver(id) {
      await failpoint('queue.given');
      // It is delayed, as a rule. Without a read of the entry this is one command.
      const promoted = new Job(queue, 'prompt', { jobId: id }, {}, id).promote();
      if (await promoted.then(() => true, rethrowOutage)) return;
      const entry = await queue.getJob(id).catch(async (error: unknown) => {
        rethrowOutage(error);
        await redis.del(queue.toKey(id)); // an entry that BullMQ cannot read
      });
      if (entry !== undefined) {
        if (!(await entry.isCompleted()) && !(await entry.isFailed())) return;
        await entry.remove();
      }
      await promptQueue.add({ id, delayMs: 0 });
    },
    deliverSoon(ids) {
      for (const id of ids) promptQueue.deliver(id).catch(() => undefined);
    },
    async giveBackTaken() {
      for (const id of await queue.getRanges(['active'], 0, -1)) {
        try {
          await (await queue.getJob(id))?.moveToWait();
        } catch (error) {
          rethrowOutage(error); // else it cannot be read, or it waits already
        }
      }
    },
    async remove(id) {
      await failpoint('queue.ended');
      return (await queue.remove(id).catch(() => 0)) !== 0;
    },
    async forgetOlder(ageMs) {
      for (const type of ['completed', 'failed'] as const) await queue.clean(ageMs, CLEAN_AT_ONCE, type);
    },
    async close() {
      await queue.close();
    },
  };
  return promptQueue;
}

/** BullMQ refused a step. @throws AppError when Redis is the reason */
function rethrowOutage(error: unknown): false {
  if (error instanceof AppError) throw error;
  return false;
}
