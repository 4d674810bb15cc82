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
  /** Resolves when the reader has caught up, left or been cut; at once when it is not behind. */
  caughtUp(): Promise<void>;
  /** Writes at once while the reader keeps up; false: it is behind, and nothing has been written. */
  offer(piece: Piece): boolean;
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
  /** There while the reader is behind. */
  let catchingUp: Promise<void> | null = null;
  let cut = false;

  const catchUp = async (): Promise<void> => {
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
    catchingUp = null;
  };

  // The answer would frame a piece for each reader anew, and hand it to the system in four parts. It is also slow
  // to ask anything of it: with hundreds of readers that is a tenth of a write.
  let direct: Socket | null = null;

  const push = ({ body, chunk }: Piece): boolean => {
    direct ??= response.socket instanceof Socket && response.chunkedEncoding ? response.socket : null;
    const way = direct ?? response;
    if (way.destroyed || way.write(direct === null ? body : chunk) || way.destroyed) return true;
    catchingUp ??= catchUp(); // never rejects
    return false;
  };

  return {
    get cut() {
      return cut;
    },
    async write(chunk) {
      if (response.destroyed || response.write(chunk) || response.destroyed) return;
      catchingUp ??= catchUp();
      await catchingUp;
    },
    push,
    offer(piece) {
      if (catchingUp !== null) return false;
      push(piece);
      return true;
    },
    caughtUp: () => catchingUp ?? Promise.resolve(),
    writeIfIdle(chunk) {
      if (catchingUp === null && !response.destroyed) response.write(chunk);
    },
  };
}
