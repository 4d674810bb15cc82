import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { SentEvent } from '../events/sent-events.ts';
import type { EventKind } from '../protocol/event.ts';
import { TERMINAL_EVENT_KINDS } from '../protocol/terminal.ts';
import { takeOver } from './http-app.ts';

export const SSE = 'text/event-stream';
export const NDJSON = 'application/x-ndjson';

export interface EventStreamOptions<Event> {
  /** {@link SSE} or {@link NDJSON}. */
  readonly contentType: string;
  /** What the reader gets of an event; null: nothing. */
  readonly sent: (event: Event) => SentEvent | null;
  readonly heartbeatMs: number;
  /** The reader was cut because it was too slow. */
  onCut(): void;
}

/**
 * Answers with a stream of events until they end or the reader leaves. An error destroys the
 * connection instead of ending the answer, so the reader sees that the stream is incomplete and
 * resumes.
 */
export async function sendEvents<Event>(
  reply: FastifyReply,
  batches: AsyncIterable<readonly Event[]>,
  { contentType, sent, heartbeatMs, onCut }: EventStreamOptions<Event>,
): Promise<void> {
  const format = contentType === NDJSON ? ndjson : sse;
  const response = takeOver(reply);
  response.writeHead(200, {
    'content-type': contentType,
    'cache-control': 'no-store, no-transform',
    // Asks nginx and similar proxies not to buffer the stream.
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
  const writer = createStreamWriter(response);
  const { heartbeat } = format;
  const timer =
    heartbeat === null ? undefined : setInterval(() => writer.writeIfIdle(heartbeat), heartbeatMs);
  try {
    if (format.opening !== '') await writer.write(format.opening);
    for await (const batch of batches) {
      for (const text of textsOf(batch, format, sent)) await writer.write(text);
      if (response.destroyed) break;
    }
    if (writer.cut) {
      onCut();
      reply.log.warn('slow event reader cut');
    }
    response.end();
  } catch (error) {
    reply.log.warn({ err: error }, 'event stream broken off');
    response.destroy();
  } finally {
    clearInterval(timer);
  }
}

/** How events are written in one content type. */
interface EventFormat {
  readonly opening: string;
  /** A comment for the reader to ignore; null: the format has none. */
  readonly heartbeat: string | null;
  encode(event: SentEvent): string;
}

const sse: EventFormat = {
  opening: 'retry: 2000\n\n',
  heartbeat: ': alive\n\n',
  // JSON text has no line breaks, so it fits in one data line.
  encode: ({ kind, id, data }) => `event: ${kind}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`,
};

const ndjson: EventFormat = {
  opening: '',
  // Many readers fail on an empty line.
  heartbeat: null,
  encode: ({ data }) => `${JSON.stringify(data)}\n`,
};

/** Size of one write: the next text is encoded when the reader has taken most of the last one. */
const TEXT_CHARS = 64 * 1024;

/** A batch as texts of about {@link TEXT_CHARS}. */
export function* textsOf<Event>(
  batch: readonly Event[],
  format: Pick<EventFormat, 'encode'>,
  sent: (event: Event) => SentEvent | null,
): Generator<string> {
  let text = '';
  for (const event of batch) {
    const one = sent(event);
    if (one === null) continue;
    text += format.encode(one);
    if (text.length < TEXT_CHARS) continue;
    yield text;
    text = '';
  }
  if (text !== '') yield text;
}

/** A reader is cut when, after `stalledMs`, more than `maxBufferedBytes` are still unsent. */
export interface SlowReaderLimits {
  readonly maxBufferedBytes: number;
  readonly stalledMs: number;
}

const SLOW_READER: SlowReaderLimits = { maxBufferedBytes: 1024 * 1024, stalledMs: 5_000 };

/** Writes a stream at the pace of its reader. */
export interface StreamWriter {
  /** Resolves when more may be written, or when the reader has left or was cut. */
  write(text: string): Promise<void>;
  /** Writes a text unless the reader is behind. */
  writeIfIdle(text: string): void;
  /** Whether the reader was cut for being too slow. */
  readonly cut: boolean;
}

/** A writer for an answer whose headers are sent. */
export function createStreamWriter(response: ServerResponse, limits = SLOW_READER): StreamWriter {
  let cut = false;
  return {
    get cut() {
      return cut;
    },
    async write(text) {
      if (response.destroyed || response.write(text) || response.destroyed) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      response.once('drain', resolve).once('close', resolve);
      const timer = setInterval(() => {
        if (response.writableLength <= limits.maxBufferedBytes) return;
        cut = true;
        response.destroy();
      }, limits.stalledMs);
      await promise;
      clearInterval(timer);
      response.off('drain', resolve).off('close', resolve);
    },
    writeIfIdle(text) {
      if (!response.destroyed && !response.writableNeedDrain) response.write(text);
    },
  };
}

/** Lists every kind; the type keeps the list complete. */
const KINDS: Readonly<Record<EventKind, true>> = {
  'job.queued': true,
  'job.scheduled': true,
  'job.waiting': true,
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
  'approval.requested': true,
  'approval.decided': true,
  'message.delivered': true,
  usage: true,
  api_retry: true,
  rate_limit: true,
  warning: true,
  raw: true,
};
export const EVENT_KINDS: readonly string[] = Object.keys(KINDS);
export const SESSION_EVENT_KINDS: readonly string[] = [
  ...['session.status', ...TERMINAL_EVENT_KINDS, ...EVENT_KINDS],
];
