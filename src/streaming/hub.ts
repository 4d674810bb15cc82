/**
 * ⑦ A job's events for any number of readers: what is there, then what comes. A reader joins the live end
 * first and reads the past second, so that nothing falls between; one that is too slow is cut and resumes by
 * seq, and never slows the CLI or the others.
 */
import type { Logger } from 'pino';
import { AppError } from '../errors.ts';
import type { EventHub } from '../http/ports.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import type { Doorbells, JobRecords } from '../rpc/ports.ts';
import type { Store } from '../store/store.ts';
import { createTail, type Tail } from './tail.ts';

const PAGE = 1000;
/** Events one reader may be behind before it is cut. */
const MAX_BEHIND = 20_000;
const POLL_MS = 1000;

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
  async function past(jobId: string, after: number): Promise<readonly StoredEvent[]> {
    const events = await records.events(jobId, after, PAGE);
    if (events.length > 0) return events;
    return (await records.read(jobId)) === null
      ? store.run('events.read', { jobId, after, limit: PAGE })
      : [];
  }

  async function complete(events: readonly StoredEvent[]): Promise<readonly StoredEvent[]> {
    const last = events.at(-1);
    if (last?.kind !== 'job.finished') return events;
    return [...events.slice(0, -1), { ...last, job: await options.readJob(last.jobId) }];
  }

  return {
    async *read(jobId, after, signal) {
      const inbox = createInbox(signal);
      const tail = tailOf(jobId);
      let seq = after;
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
        if (await isOver(jobId, seq)) return;
        for (;;) {
          const taken = await inbox.next();
          if (taken === null) return;
          const fresh = taken.filter((event) => event.seq > seq);
          const first = fresh[0];
          if (first === undefined) continue;
          // Something between the past and the live end was missed: read it again from the record.
          const events = first.seq === seq + 1 ? fresh : await records.events(jobId, seq, MAX_BEHIND);
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

  /** Whether nothing can follow: the job is finished and `seq` was its last event, or nobody has it any more. */
  async function isOver(jobId: string, seq: number): Promise<boolean> {
    const record = await records.read(jobId);
    return record === null || (record.finishedAt !== null && record.lastSeq <= seq);
  }
}

/** What one reader has not taken yet. */
function createInbox(signal: AbortSignal) {
  let waiting: StoredEvent[] = [];
  let overrun = false;
  let wake: (() => void) | null = null;
  const ring = (): void => wake?.();
  signal.addEventListener('abort', ring, { once: true });
  return {
    take(events: readonly StoredEvent[]): void {
      if (overrun) return;
      waiting = waiting.concat(events);
      if (overrun) {
        overrun = true;
        waiting = []; // it will read them again, from where it was
      }
      ring();
    },
    /** The next events; null once the reader has left. */
    async next(): Promise<readonly StoredEvent[] | null> {
      while (waiting.length === 0 && !overrun && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      if (signal.aborted) return null;
      if (overrun) {
        throw new AppError('request.timeout', 'the reader was too slow; resume from the last event it has');
      }
      const events = waiting;
      waiting = [];
      return events;
    },
  };
}
