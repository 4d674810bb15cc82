/**
 * ② The BullMQ queue. It delivers, delays, orders and redelivers job ids; what a job is and how it stands is
 * in its record. Losing an entry here costs time: the record's own sweep delivers it again.
 */
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { AppError } from '../errors.ts';
import type { Names } from '../redis/names.ts';

/** A delivery that fails is infrastructure, never the job's end: it is made again for ever. */
const DELIVERIES = Number.MAX_SAFE_INTEGER;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/** Milliseconds before the next delivery, after so many that failed. For the worker's `backoffStrategy`. */
export const deliverAgainAfter = (failed: number): number =>
  Math.min(FIRST_PAUSE_MS * 2 ** (failed - 1), LONGEST_PAUSE_MS);

/** What Bull Board can still show; nothing reads it for an answer. */
const KEEP_DELIVERED = { age: 3600, count: 1000 };
/** More than KEEP_DELIVERED leaves. */
const CLEAN_AT_ONCE = 10_000;
/** Our -10 … 10, higher is sooner, as BullMQ's 1 … 21, lower is sooner. */
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
  /** Enqueues a job; doing it twice is harmless. */
  add(job: QueueEntry): Promise<void>;
  /** The same for many, in one round trip. */
  addAll(jobs: readonly QueueEntry[]): Promise<void>;
  /** Those of the ids that do not simply wait: delivered, delayed, or lost. */
  doubtful(ids: readonly string[]): Promise<readonly string[]>;
  /** Enqueues it again unless BullMQ still has it. True when it had to. */
  ensure(job: QueueEntry): Promise<boolean>;
  /**
   * Gives back what workers have taken, whatever their locks say. For a start without other servers: those workers
   * have gone. A delivery too many is harmless, since a job is submitted once.
   */
  giveBackTaken(): Promise<void>;
  /** Removes the entry of a job that is gone, or ended while it waited; one that a worker holds, at the next `tidy`. */
  remove(id: string): Promise<void>;
  /** Removes what could not be removed before. */
  tidy(): Promise<void>;
  /** Removes the entries of jobs that ended before so long. */
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
      backoff: { type: 'custom' }, // deliverAgainAfter
      removeOnComplete: KEEP_DELIVERED,
      removeOnFail: KEEP_DELIVERED,
      stackTraceLimit: 2,
    },
  });
  // Connection errors are logged where the connection is made; without a listener they would end the process.
  queue.on('error', () => undefined);

  /** Entries to remove as soon as their workers let go. */
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
      for (const id of await queue.getRanges(['active'])) {
        try {
          await (await queue.getJob(id))?.moveToWait();
        } catch (error) {
          if (error instanceof AppError) throw error;
          // It cannot be read, or has been given back meanwhile: the records' own sweep looks after its job.
        }
      }
    },
    async remove(id) {
      // 0: a worker holds it, and will find the job finished.
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
