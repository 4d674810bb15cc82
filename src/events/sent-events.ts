import type { SessionStoredEvent, StoredEvent } from '../protocol/event.ts';

/** The events that a reader asked for. */
export interface EventFilter {
  /** null: all kinds. `job.finished` passes every filter. */
  readonly kinds: ReadonlySet<string> | null;
  /** Whether to include the lines of the CLI itself. */
  readonly raw: boolean;
}

/** An event as it is sent. */
export interface SentEvent {
  readonly kind: string;
  /** Where a reader resumes. */
  readonly id: string | number;
  readonly data: object;
}

/** The event of a job as a reader gets it. The CLI's own line is included only on request. */
export function sentJobEvent(event: StoredEvent, filter: EventFilter): SentEvent | null {
  if (!passes(event, filter)) return null;
  const { raw, ...rest } = event;
  return { kind: event.kind, id: event.seq, data: filter.raw ? { ...rest, raw } : rest };
}

/** The same of a session's event. Changes of its status pass every filter. */
export function sentSessionEvent(event: SessionStoredEvent, filter: EventFilter): SentEvent | null {
  if ('jobId' in event) return sentJobEvent(event, filter);
  const { kinds } = filter;
  const isWanted = kinds === null || event.kind === 'session.status' || kinds.has(event.kind);
  return isWanted ? { kind: event.kind, id: event.seq, data: event } : null;
}

/** `job.finished` passes every filter, because it ends the stream for good. */
function passes(event: StoredEvent, { kinds, raw }: EventFilter): boolean {
  if (event.kind === 'job.finished') return true;
  if (event.kind === 'raw' && !raw) return false;
  return kinds === null || kinds.has(event.kind);
}

/**
 * Waits for the first event; null: the batches ended without one. Only for events of which the
 * first one is there already: that of a running job may take long.
 */
export async function peek<Event>(
  batches: AsyncIterable<readonly Event[]>,
): Promise<AsyncIterable<readonly Event[]> | null> {
  const iterator = batches[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await iterator.next();
    if (done === true) return null;
    if (value.length > 0) return following(value, iterator);
  }
}

async function* following<Event>(first: readonly Event[], rest: AsyncIterator<readonly Event[]>) {
  try {
    yield first;
    for (;;) {
      const { done, value } = await rest.next();
      if (done === true) return;
      yield value;
    }
  } finally {
    await rest.return?.();
  }
}
