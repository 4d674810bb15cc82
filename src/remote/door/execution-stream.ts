import type { FastifyReply } from 'fastify';
import { createStreamWriter, NDJSON } from '../../http/event-stream.ts';
import { takeOver } from '../../http/http-app.ts';
import { type ExecutionLine, STREAM_MS } from '../../protocol/executor-service.ts';

export interface LineStreams {
  /** The longest answer, in milliseconds. */
  readonly streamMs: number;
  /** The pause between two `alive`, in milliseconds. */
  readonly aliveMs: number;
  /** What a reader gets after that to take the last lines, in milliseconds. */
  readonly lastLinesMs: number;
}

/** `alive` comes several times within what the server takes for a broken stream. */
export const LINE_STREAMS: LineStreams = { streamMs: STREAM_MS, aliveMs: 5_000, lastLinesMs: 15_000 };

const ALIVE: ExecutionLine = { type: 'alive' };
const encode = (line: ExecutionLine): string => `${JSON.stringify(line)}\n`;

/**
 * Answers with the lines until they end. The next line is asked for when the reader has taken the
 * last one, so a slow reader costs the memory of one line and the buffers of its connection. An
 * error cuts the connection: the reader sees that the answer is not complete, and asks again.
 */
export async function sendLines(
  reply: FastifyReply,
  lines: AsyncIterable<ExecutionLine>,
  { streamMs, aliveMs, lastLinesMs }: LineStreams,
): Promise<void> {
  const response = takeOver(reply);
  response.writeHead(200, {
    'content-type': NDJSON,
    'cache-control': 'no-store, no-transform',
    // Asks nginx and similar proxies not to buffer the stream.
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
  // A slow reader is not cut before the end: it would ask for the same lines again.
  const writer = createStreamWriter(response, { maxBufferedBytes: 0, stalledMs: streamMs + lastLinesMs });
  const alive = setInterval(() => writer.writeIfIdle(encode(ALIVE)), aliveMs);
  try {
    for await (const line of lines) {
      await writer.write(encode(line));
      if (response.destroyed) return;
    }
    if (response.destroyed) return; // it has had its `close`
    response.end();
    const cut = setTimeout(() => response.destroy(), lastLinesMs);
    response.once('close', () => clearTimeout(cut));
  } catch (error) {
    reply.log.warn({ err: error }, 'stream of an execution broken off');
    response.destroy();
  } finally {
    clearInterval(alive);
  }
}
