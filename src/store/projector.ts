/**
 * Follows the log of record changes and keeps this node's copy of every job, with the events of finished ones.
 * The position is saved in the same transaction as the copies, so nothing is missed or skipped over a restart.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { ReportDamage } from '../damage.ts';
import { AppError, messageOf } from '../errors.ts';
import { isFinished } from '../protocol/job.ts';
import type { JobRecord, JobRecords } from '../records/ports.ts';
import { createEventCopies } from './event-copies.ts';
import { type LogPiece, readLogPiece, streamIdBefore } from './log-piece.ts';
import { toProjected } from './projected-job.ts';
import { createProjectionWriter } from './projection-writer.ts';
import type { Store } from './store.ts';

const CURSOR = 'log';
const LOG_ID = 'log-id';
/** Jobs in one step. Who asks for a job and what the executor writes down wait for a step at the most. */
const SLICE = 25;
/** Changes it may be behind and still be waited for by a list. */
const NEARLY_THERE = 200;
/** How long a blocking read waits before it looks whether it should stop. */
const BLOCK_MS = 2000;
/** Changes come in bursts; reading them together costs the jobs that run less. */
const GATHER_MS = 250;
const RETRY_MS = 500;

export interface Projector {
  start(): Promise<void>;
  stop(): Promise<void>;
  /**
   * Everything that was in the log when this was called is in the projection when it resolves.
   * @throws AppError redis.unavailable
   */
  catchUp(): Promise<void>;
  /**
   * The same, unless it is far behind, as after a flood of new jobs: then it resolves at once, and what is read
   * shows how things stood some seconds ago.
   * @throws AppError redis.unavailable
   */
  catchUpSoon(): Promise<void>;
  /** What is being copied now has been copied: whatever is copied after this resolves was read later. Never rejects. */
  settled(): Promise<void>;
}

export interface ProjectorOptions {
  /** A `patient` connection of its own: it blocks. */
  readonly blocking: Redis;
  readonly redis: Redis;
  readonly log: string;
  readonly records: Pick<JobRecords, 'readMany'>;
  /** The stream of a job's events. */
  eventsKey(jobId: string): string;
  /** The log is not the one we followed: Redis lost data. Called before anything of it is projected. */
  onLogReplaced(): Promise<void>;
  /** Called once for each job that has ended, on every node. */
  onEnded(job: JobRecord): void;
  readonly store: Store;
  readonly report: ReportDamage;
  readonly logger: Logger;
}

type Entry = readonly [id: string, fields: readonly string[]];

export function createProjector(options: ProjectorOptions): Projector {
  const { blocking, redis, log, records, store, report, logger } = options;
  const copies = createEventCopies(redis, options.eventsKey, report);
  const writer = createProjectionWriter(store, report);
  /** Why it could not go on last. */
  let trouble: string | null = null;
  const logId = `${log}:id`;
  let cursor = '0-0';
  let piece: LogPiece | null = null;
  let stopped = true;
  let stopping = Promise.withResolvers<null>();
  let loop: Promise<void> | null = null;
  let advancing: Promise<unknown> = Promise.resolve();

  /** Whoever moves the position does so alone. */
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const next = advancing.then(task, task);
    advancing = next.catch(() => undefined);
    return next;
  }

  /** Projects what the log has after the cursor; false when there was nothing. */
  const advance = (): Promise<boolean> => inTurn(advanceOnce);

  async function advanceOnce(): Promise<boolean> {
    piece ??= await readLogPiece(redis, log, cursor, report);
    if (piece === null) return false;
    const { changed, removed, last } = piece;
    const slice = changed.slice(0, SLICE);
    const ended = slice.length === changed.length;
    const { found, damaged } = await records.readMany(slice);
    // One commit for all of it: the events, the jobs they belong to, and after the last slice the position.
    const finished = found.filter((job) => isFinished(job.status));
    const events = await copies.read(finished, (earlier) =>
      writer.write({ jobs: [], removed: [], cursor: null, events: earlier }),
    );
    const now = Date.now();
    const over = damaged.filter((one) => one.over).map(({ id }) => writer.endedCopy(id, now));
    const newlyEnded = await writer.write({
      jobs: [...found.map((job) => toProjected(job, now)), ...(await Promise.all(over)).flat()],
      removed: ended ? removed : [],
      cursor: ended ? { name: CURSOR, value: last } : null,
      events,
    });
    for (const job of finished) if (newlyEnded.includes(job.id)) options.onEnded(job);
    if (ended) cursor = last;
    piece = ended ? null : { ...piece, changed: changed.slice(SLICE) };
    return true;
  }

  async function follow(): Promise<void> {
    while (!stopped) {
      try {
        // A connection that is closed while Redis is away leaves what it was asked without an answer.
        const asked = blocking.xread('COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', log, cursor);
        const news = await Promise.race([asked, stopping.promise]);
        if (stopped) return;
        if (news === null) {
          await checkLog();
          continue;
        }
        await pause(GATHER_MS);
        await followToEnd();
      } catch (error) {
        if (stopped) return;
        complain(error);
        await pause(RETRY_MS);
      }
    }
  }

  /** What passes by itself is not worth a line; anything else is, once. */
  function complain(error: unknown): void {
    const reason = messageOf(error);
    if (error instanceof AppError && error.retryable) logger.debug({ reason }, 'the projection waits');
    else if (reason !== trouble) logger.error({ reason }, 'the projection cannot go on');
    trouble = reason;
  }

  /** A long backlog is taken at half pace: who asks and who runs come first. */
  async function followToEnd(): Promise<void> {
    for (;;) {
      const startedAt = performance.now();
      if (stopped || !(await advance())) return;
      await pause(performance.now() - startedAt);
    }
  }

  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  return {
    async start() {
      if (!stopped) return;
      stopped = false;
      stopping = Promise.withResolvers();
      cursor = (await store.run('cursors.get', { name: CURSOR })) ?? '0-0';
      await checkLog();
      loop = follow();
    },
    async stop() {
      stopped = true;
      stopping.resolve(null);
      blocking.disconnect();
      await loop;
      await advancing;
    },
    async catchUp() {
      // Up to what is there now: under load the log has no end to wait for.
      const newest = await newestEntry();
      while (streamIdBefore(cursor, newest) && (await advance()));
    },
    settled: () => inTurn(async () => {}),
    async catchUpSoon() {
      const ahead = (await redis.xrange(log, `(${cursor}`, '+', 'COUNT', NEARLY_THERE)) as Entry[]; // ids and fields
      const newest = ahead.at(-1)?.[0];
      if (newest === undefined || ahead.length === NEARLY_THERE) return;
      while (streamIdBefore(cursor, newest) && (await advance()));
    },
  };

  async function newestEntry(): Promise<string> {
    const [newest] = (await redis.xrevrange(log, '+', '-', 'COUNT', 1)) as Entry[]; // ids and fields
    return newest?.[0] ?? '0-0';
  }

  /** Whether the log is still the one we followed: it carries our mark and does not end before our position. */
  async function checkLog(): Promise<void> {
    const mine = await store.run('cursors.get', { name: LOG_ID });
    const fresh = randomUUID();
    const created = await redis.set(logId, fresh, 'NX');
    const current = created === 'OK' ? fresh : await redis.get(logId);
    if (current === mine && !streamIdBefore(await newestEntry(), cursor)) return;
    await inTurn(async () => {
      cursor = '0-0';
      piece = null;
    });
    if (mine !== null) await options.onLogReplaced();
    await store.run('jobs.project', {
      jobs: [],
      removed: [],
      cursor: { name: LOG_ID, value: current ?? fresh },
    });
  }
}
