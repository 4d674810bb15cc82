/**
 * The periodic tasks of a node: deliver lost jobs again, end jobs that expired or whose node died,
 * remove old data, count what waits.
 */

import type { Logger } from 'pino';
import { AppError, isDamage, messageOf } from '../errors.ts';
import { lostOutcome, UNAVAILABLE } from '../executor/outcomes.ts';
import { EXPIRED } from '../records/claims.ts';
import type { JobRecords, Upkeep } from '../records/ports.ts';
import type { Swept } from '../store/retention.ts';
import type { Store } from '../store/store.ts';
import { pause } from '../timing.ts';
import type { PromptQueue, QueueEntry } from './prompt-queue.ts';

/** Ids in one step of a task. */
const LIMIT = 100;
/** A task stops after this time even when there is more; the next pass goes on. */
const PASS_MS = 1000;
/** A job that was not delivered is checked again after this time. */
const CHECK_SOON_MS = 15_000;
/** The same for a job that BullMQ is known to have. */
const CHECK_LATER_MS = 5 * 60_000;
const RETENTION_EVERY_MS = 10 * 60_000;
/** Rows removed in one step. Intents and lists wait for a step. */
const RETENTION_SLICE = 500;

export interface UpkeepLoopOptions {
  readonly upkeep: Upkeep;
  readonly records: Pick<JobRecords, 'read'>;
  readonly queue: Pick<PromptQueue, 'doubtful' | 'ensure' | 'giveBackTaken' | 'tidy' | 'forgetOlder'>;
  readonly store: Store;
  /** Time between two passes. */
  readonly everyMs: number;
  /** Jobs that may wait before new ones are refused. */
  readonly maxQueued: number;
  readonly nodeLostAfterMs: number;
  readonly keepJobsMs: number;
  readonly keepEventsMs: number;
  readonly keepUsageMs: number;
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
  records,
  queue,
  store,
  everyMs,
  maxQueued,
  nodeLostAfterMs,
  keepJobsMs,
  keepEventsMs,
  keepUsageMs,
  inTouchForMs,
  logger,
}: UpkeepLoopOptions): UpkeepLoop {
  let timer: NodeJS.Timeout | null = null;
  let pass: Promise<void> | null = null;
  let otherNodes = 0;
  let waiting = 0;
  let lastRetention = Number.NEGATIVE_INFINITY;
  let retaining: Promise<void> | null = null;
  const stopping = new AbortController();
  /** The last failure of each task. */
  const failures = new Map<string, string>();

  /** Enqueues again what BullMQ has lost. */
  async function redeliver(): Promise<void> {
    await eachSlice(
      () => upkeep.undelivered(CHECK_SOON_MS, LIMIT),
      async (ids) => {
        // In a long queue most jobs simply wait. One command finds those, so that a pass gets to
        // the end.
        const doubtful = await queue.doubtful(ids);
        const checks = await Promise.allSettled(doubtful.map(isThere));
        const missing = new Set(
          doubtful.filter((_, index) => {
            const check = checks[index];
            return check?.status !== 'fulfilled' || !check.value;
          }),
        );
        await upkeep.held(
          ids.filter((id) => !missing.has(id)),
          CHECK_LATER_MS,
        );
        for (const check of checks) if (check.status === 'rejected') throw check.reason;
      },
    );
  }

  /** True when BullMQ has the job, or the job is gone. False when it had to be enqueued again. */
  async function isThere(id: string): Promise<boolean> {
    const place = await placeOf(id);
    if (place === null || !(await queue.ensure({ id, ...place }))) return true;
    logger.warn({ jobId: id }, 'a job the queue had lost was enqueued again');
    return false;
  }

  /** Null: the job is gone. A job with a damaged record is delivered too: that ends it. */
  async function placeOf(id: string): Promise<Omit<QueueEntry, 'id'> | null> {
    try {
      const record = await records.read(id);
      if (record === null) return null;
      const delayMs = Math.max(0, (record.scheduledFor ?? 0) - Date.now());
      return { priority: record.request.priority, delayMs };
    } catch (error) {
      if (!isDamage(error)) throw error;
      return { priority: 0, delayMs: 0 };
    }
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
    retaining = removeOld()
      .catch((error: unknown) => {
        lastRetention = Number.NEGATIVE_INFINITY; // try again in the next pass
        logFailure('retention', error);
      })
      .finally(() => {
        retaining = null;
      });
  }

  /** Removes all old rows. It pauses as long as each step took, to leave the store to others. */
  async function removeOld(): Promise<void> {
    const before = (ms: number): string => new Date(Date.now() - ms).toISOString();
    const limits = {
      finishedJobsBefore: before(keepJobsMs),
      eventsBefore: before(keepEventsMs),
      usageBefore: before(keepUsageMs),
      limit: RETENTION_SLICE,
    };
    const removed = { jobs: 0, events: 0, executions: 0, usage: 0 };
    for (let after: string | null = ''; after !== null && !stopping.signal.aborted; ) {
      const startedAt = performance.now();
      const swept: Swept = await store.run('retention.sweep', { ...limits, after });
      removed.jobs += swept.jobs;
      removed.events += swept.events;
      removed.executions += swept.executions;
      removed.usage += swept.usage;
      after = swept.more ? swept.after : null;
      if (swept.more) await pause(performance.now() - startedAt, stopping.signal);
    }
    if (Object.values(removed).some((count) => count > 0)) logger.info(removed, 'old data was removed');
    await queue.forgetOlder(keepJobsMs);
  }

  async function once(): Promise<void> {
    // A failed task does not stop the others, unless Redis is away.
    for (const task of [redeliver, tidy, expire, settleLost, retain, count]) {
      try {
        await task();
      } catch (error) {
        logFailure(task.name, error);
        if (error instanceof AppError && error.code === 'redis.unavailable') return;
      }
    }
  }

  const tidy = (): Promise<void> => queue.tidy();
  const expire = (): Promise<void> => eachSlice(() => upkeep.expire(EXPIRED, LIMIT));

  async function count(): Promise<void> {
    const counts = await upkeep.counts();
    otherNodes = Math.max(0, counts.nodes - 1);
    waiting = counts.awaiting + counts.pending;
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

/** Repeats until a slice is not full, or the time of a pass is over. */
async function eachSlice(
  next: () => Promise<readonly string[]>,
  handle: (ids: readonly string[]) => Promise<void> = async () => undefined,
): Promise<void> {
  const until = performance.now() + PASS_MS;
  for (;;) {
    const ids = await next();
    await handle(ids);
    if (ids.length < LIMIT || performance.now() > until) return;
  }
}
