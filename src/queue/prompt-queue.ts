/**
 * ② The BullMQ queue. It delivers, delays, orders and redelivers job ids; what a job is and how it stands is
 * in its record. Losing an entry here costs time: the record's own sweep delivers it again.
 */
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { unavailable } from '../rpc/redis/script-runner.ts';
import type { Names } from './names.ts';

/** BullMQ's own attempts are infrastructure: they outlast crashes of a sandboxed process. */
const DELIVERIES = 30;
const DELIVERY_BACKOFF_MS = 1000;
/** What Bull Board can still show; nothing reads it for an answer. */
const KEEP_DELIVERED = { age: 3600, count: 1000 };
/** Our -10 … 10, higher is sooner, as BullMQ's 1 … 21, lower is sooner. */
const bullPriority = (priority: number): number => 11 - priority;

export interface Delivery {
  readonly jobId: string;
}

export interface PromptQueue {
  /** For Bull Board. */
  readonly queue: Queue<Delivery>;
  /** Enqueues a job; doing it twice is harmless. Throws redis.unavailable. */
  add(job: { readonly id: string; readonly priority: number; readonly delayMs: number }): Promise<void>;
  /** Enqueues it again unless BullMQ still has it. True when it had to. */
  ensure(job: { readonly id: string; readonly priority: number; readonly delayMs: number }): Promise<boolean>;
  /** Best effort: a job that ended while it waited. */
  remove(id: string): Promise<void>;
  close(): Promise<void>;
}

export function createPromptQueue(redis: Redis, names: Names): PromptQueue {
  const queue = new Queue<Delivery>(names.queue, {
    connection: redis,
    prefix: names.prefix,
    defaultJobOptions: {
      attempts: DELIVERIES,
      backoff: { type: 'fixed', delay: DELIVERY_BACKOFF_MS },
      removeOnComplete: KEEP_DELIVERED,
      removeOnFail: KEEP_DELIVERED,
      stackTraceLimit: 2,
    },
  });
  // Connection errors are logged where the connection is made; without a listener they would end the process.
  queue.on('error', () => undefined);

  const promptQueue: PromptQueue = {
    queue,
    async add({ id, priority, delayMs }) {
      const options = {
        jobId: id,
        priority: bullPriority(priority),
        ...(delayMs > 0 ? { delay: delayMs } : {}),
      };
      try {
        await queue.add('prompt', { jobId: id }, options);
      } catch (error) {
        throw unavailable(error);
      }
    },
    async ensure(job) {
      const entry = await queue.getJob(job.id);
      if (entry !== undefined) {
        if (!(await entry.isCompleted()) && !(await entry.isFailed())) return false;
        await entry.remove();
      }
      await promptQueue.add(job);
      return true;
    },
    async remove(id) {
      await queue.remove(id).catch(() => 0); // locked by its worker, or gone: the worker will find it finished
    },
    async close() {
      await queue.close();
    },
  };
  return promptQueue;
}
