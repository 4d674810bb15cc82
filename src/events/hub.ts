/**
 * ⑦ A job's events for any number of readers: what is there, then what comes. A reader joins the live end
 * first and reads the past second, so that nothing falls between; one that is too slow is cut and resumes by
 * seq, and never slows the CLI or the others. Readers at the same place share one read, and get the same batch.
 */
import type { Logger } from 'pino';
import type { EventHub, TakeAtOnce } from '../http/ports.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import type { JobRecords } from '../records/ports.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import type { Store } from '../store/store.ts';
import { createInbox } from './inbox.ts';
import { createSharedReads } from './shared-reads.ts';
import { createTail, type Tail } from './tail.ts';

const PAGE = 1000;
/** Events one reader may be behind before it is cut. */
const MAX_BEHIND = 20_000;
const POLL_MS = 1000;
const leaveIt: TakeAtOnce = () => false;

export interface EventHubOptions {
  readonly records: Pick<JobRecords, 'events' | 'read'>;
  readonly store: Store;
  readonly doorbells: Doorbells;
  liveChannel(jobId: string): string;
  /** The finished job's document, which its last event carries. */
  readJob(jobId: string): Promise<Job>;
  readonly logger: Logger;
}

export function createEventHub(options: EventHubOptions): EventHub {
  const { records, store, doorbells, logger } = options;
  const tails = new Map<string, Tail>();
  const reads = createSharedReads();
  /** Batches whose last event was given its job, by the batch they were made of. */
  const completed = new WeakMap<readonly StoredEvent[], Promise<readonly StoredEvent[]>>();

  function tailOf(jobId: string): Tail {
    const known = tails.get(jobId);
    if (known !== undefined) return known;
    const tail = createTail({
      jobId,
      channel: options.liveChannel(jobId),
      doorbells,
      records,
      pollMs: POLL_MS,
      lastSeq: async () => (await records.read(jobId))?.lastSeq ?? 0,
      onEmpty: () => tails.delete(jobId),
      logger,
    });
    tails.set(jobId, tail);
    return tail;
  }

  /** The past: from Redis while it has the job, from this node's copy after that. */
  function past(jobId: string, after: number, limit = PAGE): Promise<readonly StoredEvent[]> {
    return reads.run(`${jobId} ${after} ${limit}`, async () => {
      const events = await records.events(jobId, after, limit);
      if (events.length > 0) return events;
      return (await records.read(jobId)) === null ? store.run('events.read', { jobId, after, limit }) : [];
    });
  }

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
    async *read(jobId, after, signal, takeAtOnce = leaveIt) {
      const inbox = createInbox(signal, MAX_BEHIND);
      const tail = tailOf(jobId);
      let seq = after;
      const takeNext: TakeAtOnce = (events) => {
        const last = events.at(-1);
        // The end is told by the iteration, with the job's document.
        if (events[0]?.seq !== seq + 1 || last === undefined || last.kind === 'job.finished') return false;
        if (!takeAtOnce(events)) return false;
        seq = last.seq;
        return true;
      };
      try {
        await tail.join(inbox);
        for (;;) {
          const events = await past(jobId, seq);
          const last = events.at(-1);
          if (last === undefined) break;
          seq = last.seq;
          yield await complete(events);
          if (last.kind === 'job.finished' || signal.aborted) return;
        }
        // Not shared: what others have asked for may be older than our join, and what came between the two is in
        // neither that nor the inbox.
        const record = await records.read(jobId);
        if (record === null) return;
        const missed = record.lastSeq > seq ? await records.events(jobId, seq, MAX_BEHIND) : [];
        const newest = missed.at(-1);
        if (newest !== undefined) {
          seq = newest.seq;
          yield await complete(missed);
        }
        if (newest?.kind === 'job.finished' || (record.finishedAt !== null && record.lastSeq <= seq)) return;
        for (;;) {
          const taken = await inbox.next(takeNext);
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

  /** What comes after `seq`, for a reader whom a live batch finds at another place than its beginning. */
  async function following(
    jobId: string,
    seq: number,
    taken: readonly StoredEvent[],
  ): Promise<readonly StoredEvent[]> {
    const fresh = taken.filter((event) => event.seq > seq);
    if (fresh.length === 0 || fresh[0]?.seq === seq + 1) return fresh;
    // Something between the past and the live end was missed: read it again from the record.
    return past(jobId, seq, MAX_BEHIND);
  }
}
