import type { EventKind, StoredEvent } from '../protocol/event.ts';

export const SSE = 'text/event-stream';
export const NDJSON = 'application/x-ndjson';

/** Every kind there is; the type keeps it complete. */
const KINDS: Readonly<Record<EventKind, true>> = {
  'job.queued': true,
  'job.scheduled': true,
  'job.running': true,
  'job.finished': true,
  'execution.started': true,
  'execution.finished': true,
  session: true,
  'text.delta': true,
  text: true,
  reasoning: true,
  'tool.started': true,
  'tool.ended': true,
  usage: true,
  retry: true,
  rate_limit: true,
  warning: true,
  raw: true,
};
export const EVENT_KINDS: readonly string[] = Object.keys(KINDS);

/** Which events a reader asked for. */
export interface EventFilter {
  /** null = all. The end of the stream passes whatever stands here. */
  readonly kinds: ReadonlySet<string> | null;
  /** With the CLI's own lines. */
  readonly raw: boolean;
}

/** How events go over the wire in one content type. */
export interface EventFormat {
  readonly contentType: string;
  readonly opening: string;
  /** A sign of life, null where the format has room for none. */
  readonly heartbeat: string | null;
  encode(event: StoredEvent, raw: boolean): string;
}

/** What a reader gets of an event: the CLI's own line only when asked for. */
function visible({ raw, ...event }: StoredEvent, withRaw: boolean): object {
  return withRaw ? { ...event, raw } : event;
}

const sse: EventFormat = {
  contentType: SSE,
  opening: 'retry: 2000\n\n',
  heartbeat: ': alive\n\n',
  // JSON has no line breaks of its own, so one data line holds it.
  encode: (event, raw) =>
    `event: ${event.kind}\nid: ${event.seq}\ndata: ${JSON.stringify(visible(event, raw))}\n\n`,
};

const ndjson: EventFormat = {
  contentType: NDJSON,
  opening: '',
  // Many readers fail on an empty line.
  heartbeat: null,
  encode: (event, raw) => `${JSON.stringify(visible(event, raw))}\n`,
};

/** The format for a content type of the two. */
export const formatFor = (contentType: string): EventFormat => (contentType === NDJSON ? ndjson : sse);

/** Whether a reader gets an event. Nobody misses `job.finished`: it says that the stream has ended for good. */
export function passes(event: StoredEvent, { kinds, raw }: EventFilter): boolean {
  if (event.kind === 'job.finished') return true;
  if (event.kind === 'raw' && !raw) return false;
  return kinds === null || kinds.has(event.kind);
}
