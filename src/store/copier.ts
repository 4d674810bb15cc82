/**
 * Follows the log of record changes and keeps this node's copy of every job, with the events of
 * finished ones. The position in the log is stored in the same transaction as the copies, so a
 * restart neither misses nor skips a change.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { ReportDamage } from '../damage.ts';
import { AppError, messageOf } from '../errors.ts';
import type { AuditHead } from '../protocol/audit.ts';
import { isFinished } from '../protocol/job.ts';
import type { ApprovalCopies } from '../records/approval-ports.ts';
import type { BatchRecords } from '../records/batch-ports.ts';
import { LOG_START } from '../records/change-log.ts';
import type { JobRecord, JobRecords } from '../records/ports.ts';
import type { SessionRecords } from '../records/session-ports.ts';
import {
  createEventSource,
  type LogPage,
  readBatches,
  readLogPage,
  type StreamEntry,
  streamIdBefore,
  toJobCopy,
} from './copy-source.ts';
import { createCopyWriter } from './copy-writer.ts';
import { readSessions } from './session-source.ts';
import type { Store } from './store.ts';

const NOTHING = {
  ...{ jobs: [], removed: [], cursor: null, batches: [], patches: [], audit: [] },
  ...{ sessions: [], removedSessions: [], approvals: [] },
};
const CURSOR = 'log';
const LOG_ID = 'log-id';
/** Jobs copied in one step. Requests and the executor's writes wait for one step at most. */
const STEP_JOBS = 25;
/** A list waits for the copies when they are at most this many changes behind. */
const MAX_WAIT_CHANGES = 200;
/** Duration of a blocking read, after which the loop checks whether it should stop. */
const BLOCK_MS = 2000;
/** Changes come in bursts. Reading a burst together takes less from the running jobs. */
const GATHER_MS = 250;
const RETRY_MS = 500;

/** `last`: these were the last changes of the log when it was read. */
type Step = 'more' | 'last' | 'end';

export interface Copier {
  start(): Promise<void>;
  stop(): Promise<void>;
  /**
   * Resolves when everything that is in the log now has been copied.
   * @throws AppError redis.unavailable
   */
  catchUp(): Promise<void>;
  /**
   * The same, but resolves at once when the copies are far behind, as after a flood of new jobs.
   * A list then shows the state of some seconds ago.
   * @throws AppError redis.unavailable
   */
  catchUpSoon(): Promise<void>;
  /**
   * Resolves when the current step is done: later copies come from records read after the call.
   * Never rejects.
   */
  settled(): Promise<void>;
  /**
   * Calls `listener` for sessions that any node has closed or deleted, before their page is copied.
   * A turn that ends after the close repeats its session.
   */
  onSessionsEnded(listener: (ids: readonly string[]) => void): void;
}

export function createCopier({
  blocking,
  redis,
  log,
  records,
  batchRecords,
  sessionRecords,
  approvals,
  eventsKey,
  onLogReplaced,
  onChangesMissed,
  onRecordsGone,
  onEnded,
  onAudited,
  store,
  report,
  logger,
}: {
  /** A `patient` connection used only here, because its reads block. */
  readonly blocking: Redis;
  readonly redis: Redis;
  /** Key of the log. */
  readonly log: string;
  readonly records: Pick<JobRecords, 'readMany'>;
  readonly batchRecords: Pick<BatchRecords, 'opened'>;
  readonly sessionRecords: Pick<SessionRecords, 'read' | 'entries'>;
  readonly approvals: ApprovalCopies;
  /** Returns the key of a job's event stream. */
  readonly eventsKey: (jobId: string) => string;
  /** Redis lost data. Called before anything of its log is copied. */
  readonly onLogReplaced: () => Promise<void>;
  /** The log was trimmed before this node had read it. Called before anything more is copied. */
  readonly onChangesMissed: () => Promise<void>;
  /** Redis has forgotten these jobs of the log. Called before the step with them is stored. */
  readonly onRecordsGone: (ids: readonly string[]) => Promise<void>;
  /** Called once for each job that has ended, on every node. */
  readonly onEnded: (job: JobRecord) => void;
  /** Called after entries of the audit were copied, with the last link of their chain. */
  readonly onAudited: (head: AuditHead) => Promise<void>;
  readonly store: Store;
  readonly report: ReportDamage;
  readonly logger: Logger;
}): Copier {
  const events = createEventSource(redis, eventsKey, report);
  const writer = createCopyWriter(store, report);
  const logId = `${log}:id`;
  let cursor = LOG_START;
  /** What is left of the page that was read last. */
  let page: LogPage | null = null;
  let lastComplaint: string | null = null;
  let stopped = true;
  let stopping = Promise.withResolvers<null>();
  let loop: Promise<void> | null = null;
  let queue: Promise<unknown> = Promise.resolve();
  const sessionListeners: ((ids: readonly string[]) => void)[] = [];

  /** Runs tasks that move the cursor one after the other. */
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const next = queue.then(task, task);
    queue = next.catch(() => undefined);
    return next;
  }

  /** Copies the next jobs of the log; `end` when there were none. */
  const copyNext = (): Promise<Step> => inTurn(copyStep);

  async function nextPage(): Promise<LogPage | null> {
    const next = await readLogPage(redis, log, cursor, report);
    if (next === 'gone') {
      await startOver();
      return nextPage();
    }
    const ended = next?.endedSessions ?? [];
    if (ended.length > 0) for (const listener of sessionListeners) listener(ended);
    return next;
  }

  async function copyStep(): Promise<Step> {
    page ??= await nextPage();
    if (page === null) return 'end';
    const { changed, removed, patches, batches, audit, last, ...more } = page;
    const step = changed.slice(0, STEP_JOBS);
    const endOfPage = step.length === changed.length;
    const { found, damaged } = await records.readMany(step);
    const read = new Set([...found, ...damaged].map(({ id }) => id));
    const gone = step.filter((id) => !read.has(id));
    if (gone.length > 0) await onRecordsGone(gone);
    // One commit stores the events, then their jobs and, at the end of the page, the position.
    const finished = found.filter((job) => isFinished(job.status));
    const lastEvents = await events.read(finished, (earlier) =>
      writer.write({ ...NOTHING, events: earlier }),
    );
    const now = Date.now();
    const over = damaged.filter((one) => one.over).map(({ id }) => writer.failedCopy(id, now));
    const { ended, auditHead } = await writer.write({
      jobs: [...found.map((job) => toJobCopy(job, now)), ...(await Promise.all(over)).flat()],
      removed: endOfPage ? removed : [],
      cursor: endOfPage ? { name: CURSOR, value: last } : null,
      events: lastEvents,
      batches: endOfPage ? await readBatches(batchRecords, batches) : [],
      patches: endOfPage ? patches : [],
      audit: endOfPage ? audit : [],
      sessions: endOfPage ? await readSessions(sessionRecords, more.sessions, store) : [],
      removedSessions: endOfPage ? more.removedSessions : [],
      approvals: endOfPage ? await approvals.readMany(more.approvals) : [],
    });
    for (const job of finished) if (ended.includes(job.id)) onEnded(job);
    const isLast = endOfPage && !page.full;
    if (endOfPage) cursor = last;
    page = endOfPage ? null : { ...page, changed: changed.slice(STEP_JOBS) };
    if (auditHead !== null) await onAudited(auditHead);
    return isLast ? 'last' : 'more';
  }

  async function follow(): Promise<void> {
    while (!stopped) {
      try {
        // A read never settles when its connection is closed while Redis is away.
        const read = blocking.xread('COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', log, cursor);
        const news = await Promise.race([read, stopping.promise]);
        if (stopped) return;
        if (news === null) {
          await checkLog();
          continue;
        }
        await pause(GATHER_MS);
        await copyToEnd();
      } catch (error) {
        if (stopped) return;
        complain(error);
        await pause(RETRY_MS);
      }
    }
  }

  /** Logs a new reason once. Temporary errors are only logged at debug. */
  function complain(error: unknown): void {
    const reason = messageOf(error);
    if (error instanceof AppError && error.retryable) logger.debug({ reason }, 'copying waits');
    else if (reason !== lastComplaint) logger.error({ reason }, 'copying failed and is tried again');
    lastComplaint = reason;
  }

  /** Copies at half pace: requests and running jobs have priority over a long backlog. */
  async function copyToEnd(): Promise<void> {
    for (;;) {
      const startedAt = performance.now();
      if (stopped || (await copyNext()) !== 'more') return; // later changes end the blocking read
      await pause(performance.now() - startedAt);
    }
  }

  async function newestEntry(): Promise<string> {
    const [newest] = (await redis.xrevrange(log, '+', '-', 'COUNT', 1)) as StreamEntry[]; // ids and fields
    return newest?.[0] ?? LOG_START;
  }

  async function copyUpTo(entry: string): Promise<void> {
    while (streamIdBefore(cursor, entry) && (await copyNext()) !== 'end');
  }

  async function idsOfLog(): Promise<{ readonly known: string | null; readonly current: string | null }> {
    const known = await store.run('cursors.get', { name: LOG_ID });
    const fresh = randomUUID();
    const created = await redis.set(logId, fresh, 'NX');
    return { known, current: created === 'OK' ? fresh : await redis.get(logId) };
  }

  /** Starts over when the log has another id, or no longer has the entry of the cursor. */
  const checkLog = (): Promise<void> =>
    inTurn(async () => {
      const { known, current } = await idsOfLog();
      const own = cursor === LOG_START ? [cursor] : await redis.xrange(log, cursor, cursor);
      if (current !== known || own.length === 0) await startOver();
    });

  /** Begins with the first entry of the log, because the cursor does not lead up to it. */
  async function startOver(): Promise<void> {
    const { known, current } = await idsOfLog();
    const [first] = (await redis.xrange(log, '-', '+', 'COUNT', 1)) as StreamEntry[]; // ids and fields
    const trimmed = current === known && first !== undefined && streamIdBefore(cursor, first[0]);
    if (trimmed) await onChangesMissed();
    else if (known !== null) await onLogReplaced();
    [cursor, page] = [LOG_START, null];
    const newId = current === null ? null : { name: LOG_ID, value: current };
    await store.run('copies.apply', { jobs: [], removed: [], cursor: newId });
  }

  return {
    async start() {
      if (!stopped) return;
      stopped = false;
      stopping = Promise.withResolvers();
      cursor = (await store.run('cursors.get', { name: CURSOR })) ?? LOG_START;
      await checkLog();
      loop = follow();
    },
    async stop() {
      stopped = true;
      stopping.resolve(null);
      blocking.disconnect();
      await loop;
      await queue;
    },
    async catchUp() {
      // Only up to the newest entry of now: under load the log never ends.
      await copyUpTo(await newestEntry());
    },
    async catchUpSoon() {
      const ahead = (await redis.xrange(log, `(${cursor}`, '+', 'COUNT', MAX_WAIT_CHANGES)) as StreamEntry[]; // ids and fields
      const newest = ahead.at(-1)?.[0];
      if (newest !== undefined && ahead.length < MAX_WAIT_CHANGES) await copyUpTo(newest);
    },
    settled: () => inTurn(async () => {}),
    onSessionsEnded: (listener) => void sessionListeners.push(listener),
  };
}
