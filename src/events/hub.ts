/**
 * ⑦ The events of a job for any number of readers: first the stored ones, then new ones. A reader
 * joins the tail before it reads the stored events, so it misses nothing in between. A reader that
 * is too slow is cut and resumes by seq; it slows neither the CLI nor other readers. Readers at the
 * same place share one read and get the same batch object.
 */
import type { Logger } from 'pino';
import { AppError } from '../errors.ts';
import type { EventHub } from '../http/ports.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import type { JobRecords } from '../records/ports.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import type { Store } from '../store/store.ts';
import { createInbox, createTail, type Tail } from './tail.ts';

const PAGE = 1000;
/** A reader that is more events behind is cut. */
const MAX_BEHIND = 20_000;
const POLL_MS = 1000;
/** Reads without events until it is looked whether there still is a job. */
const LOOK_AFTER = 10;

export interface EventHubOptions {
  readonly records: Pick<JobRecords, 'events' | 'read'>;
  readonly store: Store;
  readonly doorbells: Doorbells;
  liveChannel(jobId: string): string;
  /** The finished job, for its last event; null: it was deleted. */
  readJob(jobId: string): Promise<Job | null>;
  readonly logger: Logger;
}

export function createEventHub(options: EventHubOptions): EventHub {
  const { records, store, doorbells, logger } = options;
  const tails = new Map<string, Tail<StoredEvent, number>>();
  /** Reads of stored events under way, by what they read. */
  const reads = new Map<string, Promise<readonly StoredEvent[]>>();
  /** Batches with the finished job in their last event, by the batch as it was read. */
  const completed = new WeakMap<readonly StoredEvent[], Promise<readonly StoredEvent[]>>();

  function tailOf(jobId: string): Tail<StoredEvent, number> {
    const known = tails.get(jobId);
    if (known !== undefined) return known;
    const tail = createTail<StoredEvent, number>({
      channel: options.liveChannel(jobId),
      doorbells,
      pollMs: POLL_MS,
      newest: async () => (await records.read(jobId))?.lastSeq ?? 0,
      pageSize: PAGE,
      read: readerOf(jobId),
      placeOf: ({ seq }) => seq,
      onEnd() {
        if (tails.get(jobId) === tail) tails.delete(jobId);
      },
      logger,
    });
    tails.set(jobId, tail);
    return tail;
  }

  /** Reads for a tail. After job.finished there are no more. */
  function readerOf(jobId: string): (after: number) => Promise<readonly StoredEvent[] | AppError> {
    let isOver = false;
    let empty = 0;
    return async (after) => {
      if (isOver) return [];
      const events = await records.events(jobId, after, PAGE);
      empty = events.length === 0 ? empty + 1 : 0;
      // A quiet job, or one that Redis no longer has.
      if (empty % LOOK_AFTER === 1 && (await records.read(jobId)) === null)
        return cutError(await options.readJob(jobId));
      isOver = events.at(-1)?.kind === 'job.finished';
      return events;
    };
  }

  /** Stored events, from Redis or this node's copy. A read under way serves all who ask for it. */
  function stored(jobId: string, after: number, limit = PAGE): Promise<readonly StoredEvent[]> {
    const key = `${jobId} ${after} ${limit}`;
    const underWay = reads.get(key);
    if (underWay !== undefined) return underWay;
    const reading = readStored(jobId, after, limit).finally(() => reads.delete(key));
    reads.set(key, reading);
    return reading;
  }

  async function readStored(jobId: string, after: number, limit: number): Promise<readonly StoredEvent[]> {
    const events = await records.events(jobId, after, limit);
    if (events.length > 0) return events;
    return (await records.read(jobId)) === null ? store.run('events.read', { jobId, after, limit }) : [];
  }

  /** The batch, with the finished job in `job.finished`. */
  async function complete(events: readonly StoredEvent[]): Promise<readonly StoredEvent[]> {
    const last = events.at(-1);
    if (last?.kind !== 'job.finished') return events;
    let whole = completed.get(events);
    if (whole === undefined) {
      whole = options.readJob(last.jobId).then((job) => [...events.slice(0, -1), { ...last, job }]);
      completed.set(events, whole);
    }
    return whole;
  }

  return {
    async *read(jobId, after, signal) {
      const inbox = createInbox<StoredEvent>(signal, MAX_BEHIND);
      const tail = tailOf(jobId);
      let seq = after;
      try {
        await tail.join(inbox);
        for (;;) {
          const events = await stored(jobId, seq);
          const last = events.at(-1);
          if (last === undefined) break;
          seq = last.seq;
          yield await complete(events);
          if (last.kind === 'job.finished' || signal.aborted) return;
        }
        // A shared read may have begun before this reader joined the tail. Events between the two
        // would be neither in that read nor in the inbox, so this read is not shared.
        const record = await records.read(jobId);
        const isBehind = record !== null && record.lastSeq > seq;
        const missed = isBehind ? await records.events(jobId, seq, MAX_BEHIND) : [];
        if (record === null || (record.finishedAt !== null && missed.length === 0)) {
          const job = await options.readJob(jobId);
          if (job?.finished === true) return; // the reader has all that this node has
          throw cutError(job);
        }
        const newest = missed.at(-1);
        if (newest !== undefined) {
          seq = newest.seq;
          yield await complete(missed);
        }
        if (newest?.kind === 'job.finished') return;
        for (;;) {
          const taken = await inbox.next();
          if (taken === null) return;
          const events = taken[0]?.seq === seq + 1 ? taken : await following(jobId, seq, taken);
          const last = events.at(-1);
          if (last === undefined) continue;
          seq = last.seq;
          yield await complete(events);
          if (last.kind === 'job.finished') return;
        }
      } finally {
        await tail.leave(inbox);
      }
    },
  };

  /** The events after `seq`, when the taken batch does not begin there. */
  async function following(
    jobId: string,
    seq: number,
    taken: readonly StoredEvent[],
  ): Promise<readonly StoredEvent[]> {
    const fresh = taken.filter((event) => event.seq > seq);
    if (fresh.length === 0 || fresh[0]?.seq === seq + 1) return fresh;
    // An event between the stored ones and the tail is missing: read it from Redis.
    const events = await stored(jobId, seq, MAX_BEHIND);
    if (events.length === 0) throw cutError(await options.readJob(jobId));
    return events;
  }
}

/** For a reader without job.finished, of a job that Redis no longer has. */
const cutError = (job: Job | null): AppError =>
  job === null
    ? new AppError('job.not_found', 'the job was deleted')
    : new AppError('redis.unavailable', 'Redis no longer has the job; resume from the last event');
