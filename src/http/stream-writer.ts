import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';

/** When a reader is too slow to be kept. */
export interface Patience {
  /** What may lie unsent for a reader … */
  readonly maxBufferedBytes: number;
  /** … for this long. */
  readonly stalledMs: number;
}

export const DEFAULT_PATIENCE: Patience = { maxBufferedBytes: 1024 * 1024, stalledMs: 5_000 };

/** Bytes for any number of answers: as they are, and framed once as a chunk of HTTP/1.1 (RFC 9112, 7.1). */
export interface Piece {
  readonly body: Buffer;
  readonly chunk: Buffer;
}

export function pieceOf(text: string): Piece {
  const size = Buffer.byteLength(text);
  const head = `${size.toString(16)}\r\n`;
  const chunk = Buffer.from(`${head}${text}\r\n`);
  return { chunk, body: chunk.subarray(head.length, head.length + size) };
}

/** Writes a stream at the pace of its reader. */
export interface StreamWriter {
  /** Resolves when more may be written: at once, or when the reader has caught up, left or been cut. */
  write(chunk: string): Promise<void>;
  /** Writes at once; false: the reader is behind, and {@link caughtUp} says when more may be written. */
  push(piece: Piece): boolean;
  /** Resolves when the reader has caught up, left or been cut. */
  caughtUp(): Promise<void>;
  /** A chunk that is worth nothing later: left out while the reader is behind. */
  writeIfIdle(chunk: string): void;
  /** Whether the reader was cut for being too slow. */
  readonly cut: boolean;
}

/** A writer over an answer whose head is out already. */
export function createStreamWriter(
  response: ServerResponse,
  patience: Patience = DEFAULT_PATIENCE,
): StreamWriter {
  let behind = false;
  let cut = false;

  const caughtUp = async (): Promise<void> => {
    behind = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    const { socket } = response;
    socket?.once('drain', resolve);
    response.once('drain', resolve).once('close', resolve);
    const timer = setInterval(() => {
      if (response.writableLength <= patience.maxBufferedBytes) return;
      cut = true;
      response.destroy();
    }, patience.stalledMs);
    await promise;
    clearInterval(timer);
    socket?.off('drain', resolve);
    response.off('drain', resolve).off('close', resolve);
    behind = false;
  };

  const push = ({ body, chunk }: Piece): boolean => {
    if (response.destroyed) return true;
    const { socket } = response;
    // The answer would frame it for each reader anew, and hand it to the system in four parts.
    const direct = socket instanceof Socket && response.chunkedEncoding;
    const taken = direct ? socket.write(chunk) : response.write(body);
    return taken || response.destroyed;
  };

  return {
    get cut() {
      return cut;
    },
    async write(chunk) {
      if (response.destroyed || response.write(chunk)) return;
      if (!response.destroyed) await caughtUp();
    },
    push,
    caughtUp,
    writeIfIdle(chunk) {
      if (!behind && !response.destroyed) response.write(chunk);
    },
  };
}
