/** Streams of events, read over as many connections as needed. */
import type { BatchEvent, Change } from '../protocol/change.ts';
import type { SessionStoredEvent, StoredEvent } from '../protocol/event.ts';
import type { JobStatus } from '../protocol/job.ts';
import { type Call, type CallOptions, delayBefore, send } from './calls.ts';
import { ApiError, mayResume, UnreachableError } from './errors.ts';

export interface EventsOptions {
  /** The `seq` of the last event that the reader has; default 0: read from the first. */
  readonly after?: number;
  /** Only these kinds, and always `job.finished`. */
  readonly kinds?: readonly string[];
  /** With the CLI's own lines: `raw` of each event, and events of the kind `raw`. */
  readonly raw?: boolean;
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal;
}

export interface SessionEventsOptions {
  /** The `seq` of the last event that the reader has; default 0: read from the first. */
  readonly after?: number;
  /** Only these kinds, and always `session.status` and `job.finished`. */
  readonly kinds?: readonly string[];
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal;
}

export interface ChangesOptions {
  /** The cursor of the last change that the reader has; `0`: from the first change that is kept. */
  readonly after?: string;
  /** Only changes to any of these. */
  readonly status?: readonly JobStatus[];
  /** Only jobs of this batch. */
  readonly batch?: string;
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal;
}

export interface StreamOptions extends CallOptions {
  /** Waits before the first, second, … reconnect in a row; after the last one the stream fails. */
  readonly resumeDelaysMs: readonly number[];
  /** A connection that is silent for this long is closed: the server sends a comment every 15 s. */
  readonly silenceMs: number;
}

/** One stream of the server, and how it is resumed. */
interface Source<Event> {
  readonly path: string;
  readonly query: Call['query'];
  /** @throws Error for data that Bullpen does not send */
  parse(data: string): Event;
  /** What `Last-Event-ID` says after this event. */
  placeOf(event: Event): string;
}

/**
 * The events of a stream over as many connections as needed. When a connection breaks, or ends, it
 * is opened again after the last event. Ends when the server has nothing more.
 * @param after the place of the last event that the reader has; null: none
 */
async function* follow<Event>(
  options: StreamOptions,
  source: Source<Event>,
  after: string | null,
  signal: AbortSignal | undefined,
): AsyncGenerator<Event, void, undefined> {
  let last = after;
  let tries = 0;
  for (;;) {
    let failure: unknown = new Error('the stream ended early');
    try {
      for await (const item of connect(options, source, last, signal)) {
        if (item === 'nothing more') return;
        tries = 0;
        if (item === 'comment') continue;
        last = source.placeOf(item.event);
        yield item.event;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!mayResume(error)) throw error;
      failure = error;
    }
    const planned = options.resumeDelaysMs[tries];
    if (planned === undefined) throw errorOf(options.url, failure);
    tries += 1;
    await options.sleep(delayBefore(failure, planned), signal);
  }
}

/** The numbered events at a path after `after`, in order, once each. */
async function* followNumbered<Event extends StoredEvent | SessionStoredEvent>(
  options: StreamOptions,
  path: string,
  { after = 0, kinds, raw = false, signal }: EventsOptions,
): AsyncGenerator<Event, void, undefined> {
  const source: Source<Event> = {
    path,
    query: {
      kinds: kinds === undefined || kinds.length === 0 ? undefined : kinds,
      raw: raw ? 'true' : undefined,
    },
    parse: parseEvent<Event>,
    placeOf: ({ seq }) => String(Math.max(seq, last)),
  };
  let last = after;
  for await (const event of follow(options, source, after > 0 ? String(after) : null, signal)) {
    if (event.seq <= last) continue;
    last = event.seq;
    yield event;
  }
}

/**
 * Every event of a job after `after`, in order, once each. Ends after job.finished; at once when
 * that came before `after`.
 * @throws ApiError for an answer that will not change (4xx); UnreachableError, or the last
 * ApiError, when all reconnects in a row failed
 */
export async function* followEvents(
  options: StreamOptions,
  jobId: string,
  wanted: EventsOptions = {},
): AsyncGenerator<StoredEvent, void, undefined> {
  const path = `/v1/jobs/${encodeURIComponent(jobId)}/events`;
  for await (const event of followNumbered<StoredEvent>(options, path, wanted)) {
    yield event;
    if (event.kind === 'job.finished') return;
  }
}

/**
 * Every event of a session after `after`, in order, once each, until the caller stops.
 * @throws the errors of {@link followEvents}
 */
export function followSession(
  options: StreamOptions,
  sessionId: string,
  wanted: SessionEventsOptions = {},
): AsyncGenerator<SessionStoredEvent, void, undefined> {
  return followNumbered(options, `/v1/sessions/${encodeURIComponent(sessionId)}/events`, wanted);
}

/**
 * The changes of all jobs that the caller may see, at least once each, until the caller stops. The
 * first one has kind `cursor`: where the reader begins.
 * @throws ApiError events.expired (410) when changes after the cursor are lost; the others as in
 * {@link followEvents}
 */
export async function* followChanges(
  options: StreamOptions,
  { after, status, batch, signal }: ChangesOptions = {},
): AsyncGenerator<Change, void, undefined> {
  const source: Source<Change> = {
    path: '/v1/events',
    query: { after, status, batch },
    parse: parseChange,
    placeOf: ({ cursor }) => cursor,
  };
  yield* follow(options, source, null, signal);
}

/**
 * The changes of the jobs of a batch and its counts, at least once each. Ends after batch.finished;
 * at once when that came before `after`.
 * @throws the errors of {@link followChanges}
 */
export async function* followBatch(
  options: StreamOptions,
  id: string,
  { after, signal }: Pick<ChangesOptions, 'after' | 'signal'> = {},
): AsyncGenerator<BatchEvent, void, undefined> {
  const source: Source<BatchEvent> = {
    path: `/v1/batches/${encodeURIComponent(id)}/events`,
    query: { after },
    parse: (data) => parseChange(data) as BatchEvent, // the documented event
    placeOf: ({ cursor }) => cursor,
  };
  for await (const event of follow(options, source, null, signal)) {
    yield event;
    if (event.kind === 'batch.finished') return;
  }
}

const errorOf = (url: string, failure: unknown): Error =>
  failure instanceof ApiError || failure instanceof UnreachableError
    ? failure
    : new UnreachableError(url, failure);

/**
 * One connection: its events and comments; `nothing more` when there is no event after `last`.
 */
async function* connect<Event>(
  options: StreamOptions,
  { path, query, parse }: Source<Event>,
  last: string | null,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly event: Event } | 'comment' | 'nothing more', void, undefined> {
  const attempt = new AbortController();
  const onSilence = (): void => attempt.abort(new Error(`no data came for ${options.silenceMs} ms`));
  let silence = setTimeout(onSilence, options.silenceMs);
  try {
    const response = await send(options, {
      path,
      ...(query === undefined ? {} : { query }),
      headers: { accept: 'text/event-stream', ...(last === null ? {} : { 'last-event-id': last }) },
      signal: signal === undefined ? attempt.signal : AbortSignal.any([signal, attempt.signal]),
      repeatable: true,
    });
    if (response.status === 204) return yield 'nothing more';
    const type = response.headers.get('content-type') ?? 'nothing';
    if (response.body === null || !type.startsWith('text/event-stream')) {
      const detail = `${options.url} answered with ${type} instead of events; is it a Bullpen server?`;
      throw new ApiError({ status: 406, code: 'unknown', detail });
    }
    const { createParser } = await import('eventsource-parser'); // most commands read no events
    let items: ({ readonly data: string } | 'comment')[] = [];
    const parser = createParser({
      onEvent: (event) => void items.push(event),
      onComment: () => void items.push('comment'),
    });
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      clearTimeout(silence);
      silence = setTimeout(onSilence, options.silenceMs);
      parser.feed(chunk);
      for (const item of items) yield item === 'comment' ? item : { event: parse(item.data) };
      items = [];
    }
  } catch (error) {
    if (error instanceof ApiError || error instanceof UnreachableError) throw error;
    throw new UnreachableError(options.url, error);
  } finally {
    clearTimeout(silence);
    attempt.abort(); // a reader that stops early leaves no connection open
  }
}

/**
 * @throws Error for data that Bullpen does not send: the stream is read again from the last good
 * event
 */
function parseEvent<E extends StoredEvent | SessionStoredEvent>(data: string): E {
  const event: unknown = JSON.parse(data);
  const isEvent =
    typeof event === 'object' &&
    event !== null &&
    'seq' in event &&
    Number.isSafeInteger(event.seq) &&
    'kind' in event &&
    typeof event.kind === 'string';
  if (!isEvent) throw new Error('an event without a number or a kind');
  return { raw: null, ...event } as unknown as E; // a documented event; unknown kinds pass, too
}

/** @throws Error for data that Bullpen does not send */
function parseChange(data: string): Change {
  const change: unknown = JSON.parse(data);
  const isChange =
    typeof change === 'object' &&
    change !== null &&
    'cursor' in change &&
    typeof change.cursor === 'string' &&
    'kind' in change &&
    typeof change.kind === 'string';
  if (!isChange) throw new Error('a change without a cursor or a kind');
  return change as Change; // a documented change; unknown kinds pass, too
}
