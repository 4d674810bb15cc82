/** The periodic sweeps of a node: what was not delivered, what waited too long, who died. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AppError, isDamage, messageOf } from '../errors.ts';
import { lostOutcome, UNAVAILABLE } from '../executor/outcomes.ts';
import { EXPIRED } from '../records/claims.ts';
import type { JobRecords, Upkeep } from '../records/ports.ts';
import type { Swept } from '../store/retention.ts';
import type { Store } from '../store/store.ts';
import type { PromptQueue, QueueEntry } from './prompt-queue.ts';

const LIMIT = 100;
/** A sweep ends after this even when there is more: the next pass goes on. */
const PASS_MS = 1000;
/** An undelivered job is looked at again after this, whatever becomes of the look. */
const LOOK_SOON_MS = 15_000;
/** One that BullMQ is known to have; longer backlogs are not lost jobs. */
const LOOK_AGAIN_MS = 5 * 60_000;
const RETENTION_EVERY_MS = 10 * 60_000;
/** Rows that are removed in one step, for which intents and lists wait. */
const RETENTION_SLICE = 500;

export interface UpkeepLoopOptions {
  readonly upkeep: Upkeep;
  readonly records: Pick<JobRecords, 'read'>;
  readonly queue: Pick<PromptQueue, 'doubtful' | 'ensure' | 'tidy' | 'forgetOlder'>;
  readonly store: Store;
  readonly everyMs: number;
  readonly nodeLostAfterMs: number;
  readonly keepJobsMs: number;
  readonly keepEventsMs: number;
  readonly keepUsageMs: number;
  /** How long this node has been in touch with Redis without a break. */
  inTouchForMs(): number;
  readonly logger: Logger;
}

export interface UpkeepLoop {
  start(): void;
  stop(): Promise<void>;
  /** Nodes registered besides this one, as last counted. */
  readonly otherNodes: number;
  /** Jobs that wait to be run, as last counted. */
  readonly waiting: number;
}

/** Goes on while slices are full, for about as long as a pass may take. */
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

export function createUpkeepLoop(options: UpkeepLoopOptions): UpkeepLoop {
  const { upkeep, records, queue, store, logger } = options;
  let timer: NodeJS.Timeout | null = null;
  let pass: Promise<void> | null = null;
  let otherNodes = 0;
  let waiting = 0;
  let lastRetention = Number.NEGATIVE_INFINITY;
  let retaining: Promise<void> | null = null;
  const stopping = new AbortController();
  /** Why each task failed last. */
  const troubles = new Map<string, string>();

  async function redeliver(): Promise<void> {
    // A long queue is no lost one: whatever simply waits is passed over in one step, so that those behind it are
    // looked at in the same pass.
    await eachSlice(
      () => upkeep.undelivered(LOOK_SOON_MS, LIMIT),
      async (ids) => {
        const doubtful = new Set(await queue.doubtful(ids));
        const looks = await Promise.allSettled([...doubtful].map(hasOne));
        const there = [...doubtful].filter((_, index) => {
          const look = looks[index];
          return look?.status === 'fulfilled' && look.value;
        });
        await upkeep.held([...ids.filter((id) => !doubtful.has(id)), ...there], LOOK_AGAIN_MS);
        for (const look of looks) if (look.status === 'rejected') throw look.reason;
      },
    );
  }

  /** Whether BullMQ has a job; one that it has lost is enqueued again. */
  async function hasOne(id: string): Promise<boolean> {
    const place = await placeOf(id);
    if (place === null || !(await queue.ensure({ id, ...place }))) return true;
    logger.warn({ jobId: id }, 'a job the queue had lost was enqueued again');
    return false;
  }

  /** How a job is to be enqueued; null: it is gone. One whose record cannot be read is delivered, to be ended. */
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
    // Silence proves nothing while Redis itself was away: only uninterrupted contact counts.
    if (options.inTouchForMs() < options.nodeLostAfterMs) return;
    const lost = await upkeep.settleLost(options.nodeLostAfterMs, lostOutcome(null), UNAVAILABLE);
    if (lost.length > 0) logger.warn({ jobIds: lost }, 'ended the jobs of a server that is gone');
  }

  /** Removes what has grown too old, beside the passes: after a long time it may take minutes. */
  function retain(): void {
    if (retaining !== null || performance.now() - lastRetention < RETENTION_EVERY_MS) return;
    lastRetention = performance.now();
    retaining = sweep()
      .catch((error: unknown) => {
        lastRetention = Number.NEGATIVE_INFINITY; // it was not done
        complain('retention', error);
      })
      .finally(() => {
        retaining = null;
      });
  }

  /** To the end, at half pace: those who ask and run come first. */
  async function sweep(): Promise<void> {
    const before = (ms: number): string => new Date(Date.now() - ms).toISOString();
    const limits = {
      finishedJobsBefore: before(options.keepJobsMs),
      eventsBefore: before(options.keepEventsMs),
      usageBefore: before(options.keepUsageMs),
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
      if (swept.more) await delay(performance.now() - startedAt, undefined, stopping).catch(() => undefined);
    }
    if (Object.values(removed).some((count) => count > 0))
      logger.info(removed, 'what was too old was removed');
    await queue.forgetOlder(options.keepJobsMs);
  }

  async function once(): Promise<void> {
    // One that fails does not keep the others from their turn, unless Redis is away for all of them.
    for (const task of [redeliver, tidy, expire, settleLost, retain, count]) {
      try {
        await task();
      } catch (error) {
        complain(task.name, error);
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

  /** What passes by itself is not worth a line; anything else is, once. */
  function complain(task: string, error: unknown): void {
    const reason = messageOf(error);
    if (error instanceof AppError && error.retryable) logger.debug({ task, reason }, 'upkeep waits');
    else if (troubles.get(task) !== reason) logger.error({ task, reason }, 'upkeep failed');
    troubles.set(task, reason);
  }

  return {
    start() {
      timer ??= setInterval(() => {
        pass ??= once().finally(() => {
          pass = null;
        });
      }, options.everyMs);
    },
    async stop() {
      if (timer !== null) clearInterval(timer);
      timer = null;
      stopping.abort();
      await pass;
      await retaining;
    },
    get otherNodes() {
      return otherNodes;
    },
    get waiting() {
      return waiting;
    },
  };
}
