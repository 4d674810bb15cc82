/**
 * ② The BullMQ queue. It delivers, delays, orders and redelivers job ids. A job's content and state
 * are in its record. A lost entry costs only time: upkeep adds it again.
 */
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { AppError } from '../errors.ts';
import type { Names } from '../redis/names.ts';
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
/** Our priorities are -10 … 10, higher first. BullMQ's are 1 … 21, lower first. */
const bullPriority = (priority: number): number => 11 - priority;

export interface Delivery {
  readonly jobId: string;
}

export interface QueueEntry {
  readonly id: string;
  readonly priority: number;
  readonly delayMs: number;
}

export interface PromptQueue {
  /** For Bull Board. */
  readonly queue: Queue<Delivery>;
  /** Enqueues a job. Idempotent. */
  add(job: QueueEntry): Promise<void>;
  /** Enqueues many jobs in one round trip. */
  addAll(jobs: readonly QueueEntry[]): Promise<void>;
  /** Returns the ids that are not waiting: delivered, delayed, or lost. */
  doubtful(ids: readonly string[]): Promise<readonly string[]>;
  /** Enqueues a job unless BullMQ has it. True when it had to be enqueued. */
  ensure(job: QueueEntry): Promise<boolean>;
  /**
   * Makes all delivered jobs wait again, although workers hold their locks. For a start without
   * other servers, when those workers are dead. A delivery too many is harmless.
   */
  giveBackTaken(): Promise<void>;
  /**
   * Removes the entry of a job that is deleted or ended. If a worker holds it, the next `tidy` does
   * it.
   */
  remove(id: string): Promise<void>;
  /** Removes the entries that `remove` could not remove. */
  tidy(): Promise<void>;
  /** Removes the entries of jobs that ended more than `ageMs` ago. */
  forgetOlder(ageMs: number): Promise<void>;
  close(): Promise<void>;
}

const optionsOf = ({ id, priority, delayMs }: QueueEntry) => ({
  jobId: id,
  priority: bullPriority(priority),
  ...(delayMs > 0 ? { delay: delayMs } : {}),
});

export function createPromptQueue(redis: Redis, names: Names): PromptQueue {
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

  /** Entries to remove when their workers have released them. */
  const held = new Set<string>();

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
    async doubtful(ids) {
      if (ids.length === 0) return [];
      const scores = await redis.zmscore(queue.toKey('prioritized'), ...ids);
      return ids.filter((_, index) => scores[index] === null);
    },
    async ensure(job) {
      const entry = await queue.getJob(job.id).catch(async (error: unknown) => {
        if (error instanceof AppError) throw error;
        await redis.del(queue.toKey(job.id)); // an entry that BullMQ cannot read
      });
      if (entry !== undefined) {
        if (!(await entry.isCompleted()) && !(await entry.isFailed())) return false;
        await entry.remove();
      }
      await promptQueue.add(job);
      return true;
    },
    async giveBackTaken() {
      for (const id of await queue.getRanges(['active'], 0, -1)) {
        try {
          await (await queue.getJob(id))?.moveToWait();
        } catch (error) {
          if (error instanceof AppError) throw error;
          // It cannot be read, or it waits already. Upkeep delivers its job.
        }
      }
    },
    async remove(id) {
      // 0: a worker holds it, and will see that the job has finished.
      if ((await queue.remove(id).catch(() => 0)) === 0) held.add(id);
    },
    async tidy() {
      const ids = [...held];
      held.clear();
      for (const id of ids) await promptQueue.remove(id);
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
