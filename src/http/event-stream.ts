import type { FastifyReply } from 'fastify';
import type { StoredEvent } from '../protocol/event.ts';
import type { EventFormat } from './event-format.ts';
import type { TakeAtOnce } from './ports.ts';
import { takeOver } from './raw-answer.ts';
import { createStreamWriter, type Piece, type StreamWriter } from './stream-writer.ts';

type Batches = AsyncIterable<readonly StoredEvent[]>;

/**
 * The batches, and whether there are any: waits for the first event or the end. For a stream that is known to
 * be over; of one that is not, the first event may be long in coming.
 */
export async function peek(batches: Batches): Promise<Batches | null> {
  const iterator = batches[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await iterator.next();
    if (done === true) return null;
    if (value.length > 0) return following(value, iterator);
  }
}

async function* following(first: readonly StoredEvent[], rest: AsyncIterator<readonly StoredEvent[]>) {
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

export interface EventStreamOptions {
  /** What the reader gets of a batch, piece by piece. */
  encode(batch: readonly StoredEvent[]): readonly Piece[];
  readonly format: EventFormat;
  readonly heartbeatMs: number;
}

/** The answer to one reader. */
export interface EventStream {
  /** Writes a batch in the turn it comes in, if the stream has been opened, and its reader keeps up. */
  readonly takeAtOnce: TakeAtOnce;
  /**
   * Answers with a stream of events until they end or the reader leaves. A stream that breaks is broken off
   * and not ended, so that nobody takes it for whole; the reader resumes by `seq`.
   */
  send(batches: Batches): Promise<void>;
}

export function createEventStream(reply: FastifyReply, options: EventStreamOptions): EventStream {
  const { format, encode, heartbeatMs } = options;
  let open: StreamWriter | null = null;

  async function writeAll(writer: StreamWriter, batches: Batches): Promise<void> {
    if (format.opening !== '') await writer.write(format.opening);
    open = writer;
    for await (const batch of batches) {
      await writer.caughtUp(); // with what it has been given at once
      for (const piece of encode(batch)) if (!writer.push(piece)) await writer.caughtUp();
      if (reply.raw.destroyed) break;
    }
  }

  return {
    takeAtOnce(batch) {
      if (open === null) return false;
      const pieces = encode(batch);
      const piece = pieces[0];
      // One that is large is left to the loop that waits between its pieces.
      return piece === undefined || (pieces.length === 1 && open.offer(piece));
    },

    async send(batches) {
      const response = takeOver(reply);
      response.writeHead(200, {
        'content-type': format.contentType,
        'cache-control': 'no-store, no-transform',
        // Tells nginx and its like to pass events on as they come.
        'x-accel-buffering': 'no',
      });
      response.flushHeaders();
      const writer = createStreamWriter(response);
      const { heartbeat } = format;
      const timer =
        heartbeat === null ? undefined : setInterval(() => writer.writeIfIdle(heartbeat), heartbeatMs);
      try {
        await writeAll(writer, batches);
        if (writer.cut) reply.log.warn('slow event reader cut');
        response.end();
      } catch (error) {
        reply.log.warn({ err: error }, 'event stream broken off');
        response.destroy();
      } finally {
        open = null;
        clearInterval(timer);
      }
    },
  };
}
