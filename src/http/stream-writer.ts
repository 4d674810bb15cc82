import type { ServerResponse } from 'node:http';

/** When a reader is too slow to be kept. */
export interface Patience {
  /** What may lie unsent for a reader … */
  readonly maxBufferedBytes: number;
  /** … for this long. */
  readonly stalledMs: number;
}

export const DEFAULT_PATIENCE: Patience = { maxBufferedBytes: 1024 * 1024, stalledMs: 5_000 };

/** Writes a stream at the pace of its reader. */
export interface StreamWriter {
  /** Resolves when more may be written: at once, or when the reader has caught up, left or been cut. */
  write(chunk: string): Promise<void>;
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
    response.once('drain', resolve).once('close', resolve);
    const timer = setInterval(() => {
      if (response.writableLength <= patience.maxBufferedBytes) return;
      cut = true;
      response.destroy();
    }, patience.stalledMs);
    await promise;
    clearInterval(timer);
    response.off('drain', resolve).off('close', resolve);
    behind = false;
  };

  return {
    get cut() {
      return cut;
    },
    async write(chunk) {
      if (response.destroyed || response.write(chunk)) return;
      if (!response.destroyed) await caughtUp();
    },
    writeIfIdle(chunk) {
      if (!behind && !response.destroyed) response.write(chunk);
    },
  };
}
