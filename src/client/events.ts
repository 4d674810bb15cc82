/** The events of a job, read over as many connections as needed. */
import type { StoredEvent } from '../protocol/event.ts';
import { type CallOptions, delayBefore, send } from './calls.ts';
import { ApiError, UnreachableError } from './errors.ts';

export interface EventsOptions {
  /** The `seq` of the last event that the reader has; default 0: read from the first. */
  readonly after?: number;
  /** Only these kinds, and always `job.finished`. */
  readonly kinds?: readonly string[];
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal;
}

export interface StreamOptions extends CallOptions {
  /** Waits before the first, second, … reconnect in a row; after the last one the stream fails. */
  readonly resumeDelaysMs: readonly number[];
  /** A connection that is silent for this long is closed: the server sends a comment every 15 s. */
  readonly silenceMs: number;
}

/**
 * Every event after `after`, in order, once each. Ends after job.finished; at once when that came
 * before `after`. When a connection breaks, or ends early because the server stops, it is opened
 * again after the last event.
 * @throws ApiError for an answer that will not change (4xx); UnreachableError, or the last
 * ApiError, when all reconnects in a row failed
 */
export async function* followEvents(
  options: StreamOptions,
  jobId: string,
  { after = 0, kinds, signal }: EventsOptions = {},
): AsyncGenerator<StoredEvent, void, undefined> {
  let last = after;
  let tries = 0;
  for (;;) {
    let failure: unknown = new Error('the stream ended before the job did');
    try {
      for await (const item of connect(options, jobId, { after: last, kinds, signal })) {
        if (item === 'nothing more') return;
        tries = 0;
        if (item === 'comment' || item.seq <= last) continue;
        last = item.seq;
        yield item;
        if (item.kind === 'job.finished') return;
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

function mayResume(error: unknown): boolean {
  if (!(error instanceof ApiError)) return error instanceof UnreachableError;
  return error.status >= 500 || error.status === 429 || error.status === 408;
}

const errorOf = (url: string, failure: unknown): Error =>
  failure instanceof ApiError || failure instanceof UnreachableError
    ? failure
    : new UnreachableError(url, failure);

interface Position {
  readonly after: number;
  readonly kinds: readonly string[] | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * One connection: its events and comments; `nothing more` when the job has no event after `after`.
 */
async function* connect(
  options: StreamOptions,
  jobId: string,
  { after, kinds, signal }: Position,
): AsyncGenerator<StoredEvent | 'comment' | 'nothing more', void, undefined> {
  const attempt = new AbortController();
  const onSilence = (): void => attempt.abort(new Error(`no data came for ${options.silenceMs} ms`));
  const silence = setTimeout(onSilence, options.silenceMs);
  try {
    const response = await send(options, {
      path: `/v1/jobs/${encodeURIComponent(jobId)}/events`,
      query: { kinds: kinds === undefined || kinds.length === 0 ? undefined : kinds },
      headers: { accept: 'text/event-stream', ...(after > 0 ? { 'last-event-id': String(after) } : {}) },
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
      silence.refresh();
      parser.feed(chunk);
      for (const item of items) yield item === 'comment' ? item : parseEvent(item.data);
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
function parseEvent(data: string): StoredEvent {
  const event: unknown = JSON.parse(data);
  const isEvent =
    typeof event === 'object' &&
    event !== null &&
    'seq' in event &&
    Number.isSafeInteger(event.seq) &&
    'kind' in event &&
    typeof event.kind === 'string';
  if (!isEvent) throw new Error('an event without a number or a kind');
  return { raw: null, ...event } as StoredEvent; // a documented event; unknown kinds pass, too
}
