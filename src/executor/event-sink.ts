/**
 * Appends the events of one execution to the job's stream: in order and in batches. With a reader
 * there is no waiting. Without a reader the batches are larger, because each append costs the
 * server and Redis some tenths of a millisecond.
 *
 * While Redis is away the events are kept and appended later. An append may be repeated: it has
 * the number of its first event, and the record knows how many it has.
 */
import type { ExecutionEvent } from '../protocol/event.ts';
import type { Appended, TimedEvent } from '../records/ports.ts';

/** Limits of a batch, because one append must not block Redis for long. */
const BATCH_EVENTS = 500;
const BATCH_BYTES = 512 * 1024;
const RETRY_MS = 250;
/** Rough size of an event without its texts. */
const EVENT_BYTES = 200;

export interface EventSinkOptions {
  append(from: number, events: readonly TimedEvent[]): Promise<Appended>;
  /** Above this many waiting bytes the source is paused. It resumes at half of them. */
  readonly highWaterBytes: number;
  /**
   * Least time between two appends, so that a burst of lines becomes a few appends. An event after
   * a silence is appended at once. Default: none.
   */
  readonly gapMs?: number;
  /**
   * How long events wait for others when there is no reader: `first` until the first append has
   * returned whether there is one, `later` after that. Default: as if there were a reader.
   */
  readonly unreadMs?: { readonly first: number; readonly later: number };
  onPause(): void;
  onResume(): void;
  /** The amount of the day is spent: the source has to stop. */
  onSpent?(): void;
  now(): number;
}

export interface EventSink {
  push(event: ExecutionEvent, raw: string | null): void;
  /** Stops appending. Returns the events that may not be appended, and the number of the first. */
  close(): Promise<{ readonly from: number; readonly tail: readonly TimedEvent[] }>;
}

interface Waiting {
  readonly timed: TimedEvent;
  readonly bytes: number;
}

export function createEventSink(options: EventSinkOptions): EventSink {
  const { gapMs = 0, unreadMs } = options;
  let lastAppend = Number.NEGATIVE_INFINITY;
  /** How long events wait for others. Null while there is a reader. */
  let gatherMs = unreadMs?.first ?? null;
  let waiting: Waiting[] = [];
  /** `performance.now()` of the first of them. */
  let waitingSince = 0;
  let waitingBytes = 0;
  let appendedCount = 0;
  let paused = false;
  let closed = false;
  let fenced = false;
  let healthy = true;
  let gathering = false;
  /** A session is appended at once: after a crash the job goes on there. */
  let urgent = false;
  let pumping: Promise<void> | null = null;
  let wakeUp: (() => void) | null = null;

  function takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < waiting.length && count < BATCH_EVENTS) {
      bytes += waiting[count]?.bytes ?? 0;
      if (count > 0 && bytes > BATCH_BYTES) break;
      count += 1;
    }
    return waiting.slice(0, count);
  }

  function confirm(batch: readonly Waiting[]): void {
    waiting = waiting.slice(batch.length);
    for (const { bytes } of batch) waitingBytes -= bytes;
    appendedCount += batch.length;
    waitingSince = performance.now();
    if (paused && waitingBytes < options.highWaterBytes / 2) {
      paused = false;
      options.onResume();
    }
  }

  const fillsBatch = (): boolean => waiting.length >= BATCH_EVENTS || waitingBytes >= BATCH_BYTES;

  async function pump(): Promise<void> {
    while (waiting.length > 0 && !closed && !fenced) {
      const due = gatherMs === null ? lastAppend + gapMs : waitingSince + gatherMs;
      const early = due - performance.now();
      if (early > 0 && !fillsBatch() && !urgent) {
        gathering = true;
        await pause(early);
        gathering = false;
        continue;
      }
      urgent = false;
      lastAppend = performance.now();
      const batch = takeBatch();
      try {
        const appended = await options.append(
          appendedCount,
          batch.map(({ timed }) => timed),
        );
        healthy = true;
        if (appended === 'fenced') {
          fenced = true;
          release();
        } else {
          if (appended === 'spent') options.onSpent?.();
          gatherMs = appended === 'read' ? null : (unreadMs?.later ?? null);
          confirm(batch);
        }
      } catch {
        // Redis is away: the events stay here and the CLI continues. Its output cap limits them.
        healthy = false;
        release();
        await pause(RETRY_MS);
      }
    }
    pumping = null; // without an await after the last check, so the next push starts it again
  }

  function release(): void {
    if (!paused) return;
    paused = false;
    options.onResume();
  }

  function pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    wakeUp = resolve;
    return promise.finally(() => {
      clearTimeout(timer);
      wakeUp = null;
    });
  }

  return {
    push(event, raw) {
      if (fenced) return;
      const bytes = EVENT_BYTES + (raw?.length ?? 0) + textBytes(event);
      if (waiting.length === 0) waitingSince = performance.now();
      waiting.push({ timed: { event, raw, at: options.now() }, bytes });
      waitingBytes += bytes;
      if (healthy && !paused && waitingBytes > options.highWaterBytes) {
        paused = true;
        options.onPause();
      }
      urgent ||= event.kind === 'session';
      if (gathering && (fillsBatch() || urgent)) wakeUp?.();
      // Events of one chunk of output arrive in one turn and are appended together.
      pumping ??= Promise.resolve().then(pump);
    },

    async close() {
      closed = true;
      wakeUp?.();
      await pumping;
      return { from: appendedCount, tail: waiting.map(({ timed }) => timed) };
    },
  };
}

function textBytes(event: ExecutionEvent): number {
  if ('text' in event) return event.text.length;
  if ('output' in event) return event.output.length;
  return 'line' in event ? event.line.length : 0;
}
