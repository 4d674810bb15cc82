/** A job's events over as many connections as it takes. */
import type { StoredEvent } from '../protocol/event.ts';
import { type CallOptions, delayBefore, send } from './calls.ts';
import { ApiError, UnreachableError } from './failures.ts';
import { createSseParser, type SseItem } from './sse.ts';

export interface EventsOptions {
  /** The last `seq` the reader has; 0, the default, is from the start. */
  readonly after?: number;
  /** Only these kinds; `job.finished` always. */
  readonly kinds?: readonly string[];
  /** Ends the iteration with its reason. */
  readonly signal?: AbortSignal;
}

export interface StreamOptions extends CallOptions {
  /** Before each further try in a row; when they are used up, the stream is given up. */
  readonly resumeDelaysMs: readonly number[];
  /** A connection that says nothing for this long is dead: the server sends a sign of life each 15 s. */
  readonly silenceMs: number;
}

/**
 * Every event after `after`, in order, once each; ends after job.finished, at once when that was before. A
 * connection that breaks, or ends early because the server stops, is opened again after the last event.
 * @throws ApiError for an answer that will not change (4xx); UnreachableError, or the last ApiError, when no
 * try in a row got through
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
        if (item === 'over') return;
        tries = 0;
        if (item === 'alive' || item.seq <= last) continue;
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
    if (planned === undefined) throw lastWord(options.url, failure);
    tries += 1;
    await options.sleep(delayBefore(failure, planned), signal);
  }
}

function mayResume(error: unknown): boolean {
  if (!(error instanceof ApiError)) return error instanceof UnreachableError;
  return error.status >= 500 || error.status === 429 || error.status === 408;
}

const lastWord = (url: string, failure: unknown): Error =>
  failure instanceof ApiError || failure instanceof UnreachableError
    ? failure
    : new UnreachableError(url, failure);

interface Place {
  readonly after: number;
  readonly kinds: readonly string[] | undefined;
  readonly signal: AbortSignal | undefined;
}

/** One connection: its events and signs of life, `over` when there is nothing after `after`. */
async function* connect(
  options: StreamOptions,
  jobId: string,
  { after, kinds, signal }: Place,
): AsyncGenerator<StoredEvent | 'alive' | 'over', void, undefined> {
  const attempt = new AbortController();
  const silent = (): void => attempt.abort(new Error(`nothing was heard for ${options.silenceMs} ms`));
  const watch = setTimeout(silent, options.silenceMs);
  try {
    const response = await send(options, {
      path: `/v1/jobs/${encodeURIComponent(jobId)}/events`,
      query: { kinds: kinds === undefined || kinds.length === 0 ? undefined : kinds },
      headers: { accept: 'text/event-stream', ...(after > 0 ? { 'last-event-id': String(after) } : {}) },
      signal: signal === undefined ? attempt.signal : AbortSignal.any([signal, attempt.signal]),
      repeatable: true,
    });
    if (response.status === 204) return yield 'over';
    const type = response.headers.get('content-type') ?? 'nothing';
    if (response.body === null || !type.startsWith('text/event-stream')) {
      const detail = `${options.url} answered with ${type} instead of events; is it a Bullpen server?`;
      throw new ApiError({ status: 406, code: 'unknown', detail });
    }
    const parser = createSseParser();
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      watch.refresh();
      for (const item of parser.push(chunk)) yield item.kind === 'comment' ? 'alive' : eventOf(item);
    }
  } catch (error) {
    if (error instanceof ApiError || error instanceof UnreachableError) throw error;
    throw new UnreachableError(options.url, error);
  } finally {
    clearTimeout(watch);
    // Whoever stops reading early leaves no open connection behind.
    attempt.abort();
  }
}

/** @throws Error for what no server of ours sends: read again from the last good event */
function eventOf({ data }: Extract<SseItem, { kind: 'event' }>): StoredEvent {
  const event: unknown = JSON.parse(data);
  const isEvent =
    typeof event === 'object' &&
    event !== null &&
    'seq' in event &&
    Number.isSafeInteger(event.seq) &&
    'kind' in event &&
    typeof event.kind === 'string';
  if (!isEvent) throw new Error('an event without a number or a kind');
  return { raw: null, ...event } as StoredEvent; // the documented events; kinds we do not know are passed on
}
