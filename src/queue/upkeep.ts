/**
 * The periodic tasks of a node: repeat steps that were left undone, end jobs that expired or whose
 * node died, remove old data, count what waits.
 */

import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import { lostOutcome, UNAVAILABLE } from '../executor/outcomes.ts';
import { EXPIRED } from '../records/claims.ts';
import type { Upkeep } from '../records/upkeep-ports.ts';
import { removeOld } from '../store/remove-old.ts';
import type { Store } from '../store/store.ts';
import type { PromptQueue } from './prompt-queue.ts';

/** Ids in one step of a task. */
const LIMIT = 100;
/** A task stops after this time even when there is more; the next pass goes on. */
const PASS_MS = 1000;
/** The callers of other scripts have so long before a sweep does their work again. */
const SWEEP_AGAIN_MS = 1000;
/** All tasks but the sweep run in one of so many passes. */
const SLOWER = 5;
const RETENTION_EVERY_MS = 10 * 60_000;

export interface UpkeepLoopOptions {
  readonly upkeep: Upkeep;
  readonly queue: Pick<PromptQueue, 'deliver' | 'remove' | 'giveBackTaken' | 'forgetOlder'>;
  readonly store: Store;
  /** Time between two passes. */
  readonly everyMs: number;
  /** Jobs that may wait before new ones are refused. */
  readonly maxQueued: number;
  readonly nodeLostAfterMs: number;
  readonly keepJobsMs: number;
  readonly keepEventsMs: number;
  readonly keepUsageMs: number;
  /** Removes old entries of the audit. */
  trimAudit(signal: AbortSignal): Promise<void>;
  /** Time since this node's last gap in contact with Redis. */
  inTouchForMs(): number;
  readonly logger: Logger;
}

export interface UpkeepLoop {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** @throws AppError queue.full when, as last counted, `count` more jobs would be too many */
  admit(count: number): void;
  /** Nodes registered besides this one, as last counted. */
  readonly otherNodes: number;
}

export function createUpkeepLoop({
  upkeep,
  queue,
  store,
  everyMs,
  maxQueued,
  nodeLostAfterMs,
  keepJobsMs,
  keepEventsMs,
  keepUsageMs,
  trimAudit,
  inTouchForMs,
  logger,
}: UpkeepLoopOptions): UpkeepLoop {
  let timer: NodeJS.Timeout | null = null;
  let pass: Promise<void> | null = null;
  let passes = -1;
  let otherNodes = 0;
  let waiting = 0;
  let lastRetention = Number.NEGATIVE_INFINITY;
  let retaining: Promise<void> | null = null;
  const stopping = new AbortController();
  /** The last failure of each task. */
  const failures = new Map<string, string>();

  /**
   * Repeats what may have been left undone between two steps: has jobs delivered that were let
   * through, and removes the entries of those that ended.
   */
  async function sweep(): Promise<void> {
    await eachSlice(async () => {
      const { deliver, remove } = await upkeep.sweep(SWEEP_AGAIN_MS, LIMIT);
      const done = await Promise.allSettled([
        ...deliver.map((id) => queue.deliver(id)),
        ...remove.map((id) => queue.remove(id)),
      ]);
      await upkeep.removed(remove.filter((_, index) => isTrue(done[deliver.length + index])));
      for (const one of done) if (one.status === 'rejected') throw one.reason;
      return [...deliver, ...remove];
    });
  }

  async function settleLost(): Promise<void> {
    // While Redis was away no node could send its heartbeat.
    if (inTouchForMs() < nodeLostAfterMs) return;
    const lost = await upkeep.settleLost(nodeLostAfterMs, lostOutcome(null), UNAVAILABLE);
    if (lost.length > 0) logger.warn({ jobIds: lost }, 'ended the jobs of a server that is gone');
  }

  /** Starts to remove old data. The passes go on beside it, because it may take minutes. */
  function retain(): void {
    if (retaining !== null || performance.now() - lastRetention < RETENTION_EVERY_MS) return;
    lastRetention = performance.now();
    retaining = removeAll()
      .catch((error: unknown) => {
        lastRetention = Number.NEGATIVE_INFINITY; // try again in the next pass
        logFailure('retention', error);
      })
      .finally(() => {
        retaining = null;
      });
  }

  async function removeAll(): Promise<void> {
    const keep = { keepJobsMs, keepEventsMs, keepUsageMs };
    const removed = await removeOld(store, keep, stopping.signal);
    if (removed !== null) logger.info(removed, 'old data was removed');
    await trimAudit(stopping.signal);
    await queue.forgetOlder(keepJobsMs);
  }

  async function once(): Promise<void> {
    passes += 1;
    const tasks = passes % SLOWER === 0 ? [sweep, expire, settleLost, retain, count] : [sweep];
    // A failed task does not stop the others, unless Redis is away.
    for (const task of tasks) {
      try {
        await task();
      } catch (error) {
        logFailure(task.name, error);
        if (error instanceof AppError && error.code === 'redis.unavailable') return;
      }
    }
  }

  const expire = (): Promise<void> => eachSlice(() => upkeep.expire(EXPIRED, LIMIT));

  async function count(): Promise<void> {
    const counts = await upkeep.counts();
    otherNodes = Math.max(0, counts.nodes - 1);
    waiting = counts.scheduled + counts.parked + counts.pending;
  }

  /** Logs a lasting failure once per reason; an outage that ends by itself only at debug level. */
  function logFailure(task: string, error: unknown): void {
    const reason = messageOf(error);
    if (error instanceof AppError && error.retryable)
      logger.debug({ task, reason }, 'upkeep waits for an outage to end');
    else if (failures.get(task) !== reason) logger.error({ task, reason }, 'upkeep failed');
    failures.set(task, reason);
  }

  return {
    async start() {
      if ((await upkeep.counts()).nodes <= 1) await queue.giveBackTaken();
      timer ??= setInterval(() => {
        pass ??= once().finally(() => {
          pass = null;
        });
      }, everyMs);
    },
    async stop() {
      if (timer !== null) clearInterval(timer);
      timer = null;
      stopping.abort();
      await pass;
      await retaining;
    },
    admit(count) {
      if (waiting + count <= maxQueued) return;
      throw new AppError('queue.full', `${waiting} jobs wait already`, { retryAfterSeconds: 10 });
    },
    get otherNodes() {
      return otherNodes;
    },
  };
}

const isTrue = (done: PromiseSettledResult<unknown> | undefined): boolean =>
  done?.status === 'fulfilled' && done.value === true;

/** Repeats until a slice is not full, or the time of a pass is over. */
async function eachSlice(next: () => Promise<readonly string[]>): Promise<void> {
  const until = performance.now() + PASS_MS;
  while ((await next()).length >= LIMIT && performance.now() <= until);
}
