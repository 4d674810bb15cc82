/** Starts the sandboxed processes before there is work for them: a fork takes a third of a second of the job it is for. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ChildPool } from 'bullmq';
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';

const PAUSE_MS = 1000;

export interface WorkerProcesses {
  /** Resolves when one has started. Rejects when it could not. */
  startFirst(): Promise<void>;
  /** Starts the others, one after the other, each when no delivery is in hand or after a second. Never rejects. */
  startOthers(): Promise<void>;
  /** The one that is starting is the last. */
  stop(): void;
}

export function createWorkerProcesses(options: {
  readonly pool: Pick<ChildPool, 'retain' | 'release' | 'kill' | 'getFree'>;
  /** The processor's file, as BullMQ knows it. */
  readonly file: string;
  readonly count: number;
  /** Deliveries that have a process, or wait for theirs to start. */
  readonly deliveries: ReadonlySet<Promise<unknown>>;
  readonly logger: Logger;
}): WorkerProcesses {
  const { pool, file, logger } = options;
  let stopped = false;

  /** Every delivery has a process, or one is being started for it. */
  const running = (): number => options.deliveries.size + pool.getFree(file).length;

  /** A start takes a processor for a third of a second: deliveries go first, unless they take long. */
  async function pause(): Promise<void> {
    const over = delay(PAUSE_MS, null, { ref: false });
    await Promise.race([over, Promise.allSettled(options.deliveries)]);
  }

  /** One more, also while some have nothing to do: BullMQ's pool starts one only when there is no such. */
  async function startOne(): Promise<void> {
    const free = pool.getFree(file);
    const others = free.splice(0);
    const starting = pool.retain(file); // looks at the free ones before it first waits
    free.push(...others);
    const child = await starting;
    // A delivery that came meanwhile had one started for itself.
    if (stopped || running() >= options.count) await pool.kill(child, 'SIGTERM');
    else pool.release(child);
  }

  return {
    startFirst: startOne,
    async startOthers() {
      try {
        for (;;) {
          await pause();
          if (stopped || running() >= options.count) return;
          await startOne();
        }
      } catch (error) {
        logger.warn({ reason: messageOf(error) }, 'a worker process did not start');
      }
    },
    stop() {
      stopped = true;
    },
  };
}
