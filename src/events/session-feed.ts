/**
 * ⑦ The events of a session for any number of readers: first the stored ones, then new ones. The
 * session's stream has its changes and points to the events of its jobs, which are read where each
 * job has them: in Redis, or in this node's copies. Redis keeps only the last output of a terminal:
 * a reader without a place in that begins with the screen. A reader that is too slow is cut and
 * resumes by seq.
 */
import type { Logger } from 'pino';
import { AppError, type ErrorCode } from '../errors.ts';
import type { SessionFeed } from '../http/session-ports.ts';
import type { SessionStoredEvent, StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import { DEFAULT_SIZE, type TerminalAnswers } from '../protocol/terminal.ts';
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
/** The same, for the output of a terminal. */
const MAX_BYTES_BEHIND = 4 * 1024 * 1024;
const POLL_MS = 1000;

export interface SessionFeedOptions {
  readonly sessions: Pick<SessionRecords, 'entries' | 'read'>;
  readonly records: Pick<JobRecords, 'events' | 'read'>;
  readonly store: Pick<Store, 'run'>;
  readonly doorbells: Pick<Doorbells, 'listen'>;
  /** Channels of a session with a record, and of a job. */
  liveSession(id: string): string;
  liveChannel(jobId: string): string;
  /** A finished job, for its last event; null: it was deleted. */
  readJob(jobId: string): Promise<Job | null>;
  /**
   * The screen of a terminal, after the event `seq`.
   * @throws AppError session.not_found, execution.node_unavailable
   */
  snapshot(sessionId: string): Promise<TerminalAnswers['snapshot']>;
  readonly logger: Logger;
}

type SessionTail = Tail<SessionStoredEvent, number>;
type Finished = Extract<SessionStoredEvent, { kind: 'job.finished' }>;
type Screen = Extract<SessionStoredEvent, { kind: 'terminal.screen' }>;

/** The node of the terminal is gone, or has removed its recording. */
const NO_SCREEN: ReadonlySet<ErrorCode> = new Set(['execution.node_unavailable', 'session.not_found']);

/** Events of a session, and the seq up to which there are no others. */
interface Part {
  readonly events: readonly SessionStoredEvent[];
  readonly seq: number;
}

export function createSessionFeed(options: SessionFeedOptions): SessionFeed {
  const { sessions, records, store, doorbells, logger } = options;
  const tails = new Map<string, SessionTail>();
  /** Screens that are being made. */
  const screens = new Map<string, Promise<Screen>>();
  /** Last events of jobs, with the job. */
  const completed = new WeakMap<Finished, Promise<SessionStoredEvent>>();

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

  /** The events, with the finished job in `job.finished`. Without one, the batch as it is. */
  async function complete(events: readonly SessionStoredEvent[]): Promise<readonly SessionStoredEvent[]> {
    if (!events.some(({ kind }) => kind === 'job.finished')) return events;
    return Promise.all(events.map((event) => (event.kind === 'job.finished' ? withJob(event) : event)));
  }

  /** One object for all readers of the event. */
  function withJob(event: Finished): Promise<SessionStoredEvent> {
    let whole = completed.get(event);
    if (whole === undefined) {
      whole = options.readJob(event.jobId).then((job) => ({ ...event, job }));
      completed.set(event, whole);
    }
    return whole;
  }

  async function isTerminal(id: string): Promise<boolean> {
    const session = (await sessions.read(id)) ?? (await store.run('sessions.get', { id }));
    return session?.kind === 'terminal';
  }

  /** Whether events of a terminal between `after` and the end of a part are no longer kept. */
  async function isBroken(id: string, after: number, { events }: Part): Promise<boolean> {
    const last = events.at(-1);
    if (last !== undefined) return last.seq !== after + events.length;
    if (((await newestEntry(id))?.seq ?? 0) <= after) return false;
    const [next] = await entriesOf(id, after); // it may have come since
    return next?.seq !== after + 1;
  }

  /** The screen of a terminal, as an event. Readers that need it at the same time share it. */
  function screenOf(id: string): Promise<Screen> {
    const underWay = screens.get(id);
    if (underWay !== undefined) return underWay;
    const reading = options
      .snapshot(id)
      .then((screen) => screenEvent(id, screen))
      .catch((error: unknown) => {
        if (error instanceof AppError && NO_SCREEN.has(error.code)) return emptyScreen(id);
        throw error;
      })
      .finally(() => screens.delete(id));
    screens.set(id, reading);
    return reading;
  }

  /** In place of a screen that cannot be had: an empty one, and the output that is kept follows. */
  async function emptyScreen(id: string): Promise<Screen> {
    const entries = await entriesOf(id, 0);
    const seq = entries[0] === undefined ? ((await newestEntry(id))?.seq ?? 0) : entries[0].seq - 1;
    const shown = entries.flatMap((entry) => ('event' in entry ? [entry.event] : []));
    const offset = shown.flatMap((event) => ('offset' in event ? [event.offset] : []))[0] ?? 0;
    const { cols, rows } = (await sessions.read(id))?.terminal ?? DEFAULT_SIZE;
    return screenEvent(id, { seq, kind: 'terminal.screen', offset, cols, rows, data: '' });
  }

  /**
   * The stored events after a seq, in parts; the last one may be empty. A terminal begins with its
   * screen when `after` is null, or when events after it are no longer kept.
   */
  async function* stored(id: string, after: number | null, ofTerminal: boolean): AsyncGenerator<Part> {
    let seq = after ?? 0;
    let screen = ofTerminal && after === null ? await screenOf(id) : null;
    let newest = -1;
    for (;;) {
      if (screen !== null) {
        newest = seq = screen.seq;
        yield { events: [screen], seq };
      }
      const part = await collect(id, seq, PAGE);
      screen = ofTerminal && (await isBroken(id, seq, part)) ? await screenOf(id) : null;
      if (screen !== null && screen.seq > newest) continue;
      screen = null; // what is missing will not come
      seq = part.seq;
      yield part;
      if (part.events.length < PAGE) return;
    }
  }

  return {
    async *read(id, after, signal) {
      const ofTerminal = await isTerminal(id);
      const bytes = ofTerminal ? { max: MAX_BYTES_BEHIND, of: sizeOf } : null;
      const inbox = createInbox<SessionStoredEvent>(signal, MAX_BEHIND, bytes);
      const tail = tailOf(id);
      let seq = after ?? 0;
      async function* following(place: number | null): AsyncGenerator<readonly SessionStoredEvent[]> {
        for await (const part of stored(id, place, ofTerminal)) {
          seq = part.seq;
          if (part.events.length > 0) yield await complete(part.events);
          if (signal.aborted) return;
        }
      }
      try {
        await tail.join(inbox);
        yield* following(after);
        for (;;) {
          const taken = await inbox.next();
          if (taken === null) return;
          const isNew = (taken[0]?.seq ?? 0) > seq;
          const fresh = isNew ? taken : taken.filter((event) => event.seq > seq);
          const [first, last] = [fresh[0], fresh.at(-1)];
          if (first === undefined || last === undefined) continue;
          // Only a terminal has an entry for each number.
          const isNext = first.seq === seq + 1 && (!ofTerminal || last.seq === seq + fresh.length);
          if (isNext) {
            seq = last.seq;
            yield await complete(fresh);
          } else yield* following(seq);
        }
      } finally {
        await tail.leave(inbox);
      }
    },
  };
}

const sizeOf = (event: SessionStoredEvent): number =>
  event.kind === 'terminal.output' || event.kind === 'terminal.screen' ? event.data.length : 0;

const screenEvent = (sessionId: string, { seq, ...screen }: TerminalAnswers['snapshot']): Screen => ({
  ...{ seq, sessionId, at: new Date().toISOString() },
  ...screen,
});
