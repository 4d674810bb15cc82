/**
 * ⑦ The events of a session for any number of readers: first the stored ones, then new ones. The
 * session's stream has its changes and points to the events of its jobs, which are read where each
 * job has them: in Redis, or in this node's copies. A reader that is too slow is cut and resumes by
 * seq.
 */
import type { Logger } from 'pino';
import { AppError } from '../errors.ts';
import type { SessionFeed } from '../http/session-ports.ts';
import type { SessionStoredEvent, StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import type { JobRecords } from '../records/ports.ts';
import type { SessionEntry, SessionRecords } from '../records/session-ports.ts';
import { eventsOf } from '../records/session-records.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import type { Store } from '../store/store.ts';
import { createInbox, createTail, type Tail } from './tail.ts';

const PAGE = 1000;
/** Entries of a session's stream that are read at once. */
const ENTRIES = 200;
/** A reader that is more events behind is cut. */
const MAX_BEHIND = 20_000;
const POLL_MS = 1000;

export interface SessionFeedOptions {
  readonly sessions: Pick<SessionRecords, 'entries' | 'read'>;
  readonly records: Pick<JobRecords, 'events' | 'read'>;
  readonly store: Pick<Store, 'run'>;
  readonly doorbells: Pick<Doorbells, 'listen'>;
  /** Channels of a session with a record, and of a job. */
  liveSession(id: string): string;
  liveChannel(jobId: string): string;
  /** A finished job, for its last event. */
  readJob(jobId: string): Promise<Job>;
  readonly logger: Logger;
}

type SessionTail = Tail<SessionStoredEvent, number>;

/** Events of a session, and the seq up to which there are no others. */
interface Part {
  readonly events: readonly SessionStoredEvent[];
  readonly seq: number;
}

export function createSessionFeed(options: SessionFeedOptions): SessionFeed {
  const { sessions, records, store, doorbells, logger } = options;
  const tails = new Map<string, SessionTail>();

  function tailOf(id: string): SessionTail {
    const known = tails.get(id);
    if (known !== undefined) return known;
    const tail = createTail<SessionStoredEvent, number>({
      channel: options.liveSession(id),
      // Until its second job, a session has the events of its first job, which has its id.
      doorbells: { listen: (channel, bell) => listenToBoth(channel, options.liveChannel(id), bell) },
      pollMs: POLL_MS,
      newest: async () => (await newestEntry(id))?.seq ?? 0,
      pageSize: PAGE,
      read: async (after) => (await collect(id, after, PAGE)).events,
      placeOf: ({ seq }) => seq,
      onEnd: () => tails.delete(id),
      logger,
    });
    tails.set(id, tail);
    return tail;
  }

  async function listenToBoth(
    session: string,
    job: string,
    bell: (message: string) => void,
  ): Promise<() => Promise<void>> {
    const stops = await Promise.all([doorbells.listen(session, bell), doorbells.listen(job, bell)]);
    return async () => {
      for (const stop of stops) await stop();
    };
  }

  /** The pointer to all events of a job that makes a session alone; null: Redis has no such job. */
  async function ofJob(id: string): Promise<SessionEntry | null> {
    const job = await records.read(id);
    return job === null || job.sessionId !== id
      ? null
      : { seq: job.lastSeq, jobId: id, from: 1, to: job.lastSeq };
  }

  async function newestEntry(id: string): Promise<Pick<SessionEntry, 'seq'> | null> {
    const record = await sessions.read(id);
    if (record !== null) return { seq: record.lastSeq };
    return (
      (await ofJob(id)) ?? (await store.run('sessions.entries', { id, after: 0, limit: -1 })).at(-1) ?? null
    );
  }

  /** From Redis, or this node's copies. Fewer than {@link ENTRIES} only at the end. */
  async function entriesOf(id: string, after: number): Promise<readonly SessionEntry[]> {
    const entries = await sessions.entries(id, after, ENTRIES);
    if (entries !== null) return entries;
    const alone = await ofJob(id);
    if (alone !== null) return alone.seq > after ? [alone] : [];
    return store.run('sessions.entries', { id, after, limit: ENTRIES });
  }

  async function eventsOfJob(jobId: string, after: number, limit: number): Promise<readonly StoredEvent[]> {
    const events = await records.events(jobId, after, limit);
    if (events.length > 0 || (await records.read(jobId)) !== null) return events;
    return store.run('events.read', { jobId, after, limit });
  }

  /** The events after a seq, at most `limit`; fewer only at the end. */
  async function collect(id: string, after: number, limit: number): Promise<Part> {
    const events: SessionStoredEvent[] = [];
    let seq = after;
    for (;;) {
      const entries = await entriesOf(id, seq);
      for (const entry of entries) {
        while (seq < entry.seq) {
          const some = await eventsOf(id, entry, seq, limit - events.length, eventsOfJob);
          events.push(...some);
          seq = some.at(-1)?.seq ?? entry.seq; // the others are no longer kept
          if (events.length >= limit) return { events, seq };
        }
      }
      if (entries.length < ENTRIES) return { events, seq };
    }
  }

  /** The events, with the finished job in `job.finished`. */
  const complete = (events: readonly SessionStoredEvent[]): Promise<readonly SessionStoredEvent[]> =>
    Promise.all(
      events.map(async (event) =>
        event.kind === 'job.finished' ? { ...event, job: await finishedJob(event.jobId) } : event,
      ),
    );

  /** Null: it was deleted. */
  async function finishedJob(id: string): Promise<Job | null> {
    return options.readJob(id).catch((error: unknown) => {
      if (error instanceof AppError && error.code === 'job.not_found') return null;
      throw error;
    });
  }

  return {
    async *read(id, after, signal) {
      const inbox = createInbox<SessionStoredEvent>(signal, MAX_BEHIND);
      const tail = tailOf(id);
      let seq = after;
      try {
        await tail.join(inbox);
        for (let isEnd = false; !isEnd && !signal.aborted; ) {
          const part = await collect(id, seq, PAGE);
          seq = part.seq;
          if (part.events.length > 0) yield await complete(part.events);
          isEnd = part.events.length < PAGE;
        }
        for (;;) {
          const taken = await inbox.next();
          if (taken === null) return;
          const fresh = taken.filter((event) => event.seq > seq);
          if (fresh.length === 0) continue;
          const isNext = fresh[0]?.seq === seq + 1;
          const events = isNext ? fresh : (await collect(id, seq, MAX_BEHIND)).events;
          seq = events.at(-1)?.seq ?? seq;
          if (events.length > 0) yield await complete(events);
        }
      } finally {
        await tail.leave(inbox);
      }
    },
  };
}
