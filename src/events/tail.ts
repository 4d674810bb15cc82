/** The live end of one job's events on this node: read once, handed to every reader here. */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { JobRecords } from '../records/ports.ts';
import type { Doorbells } from '../redis/doorbells.ts';

const PAGE = 1000;

export interface TailReader {
  take(events: readonly StoredEvent[]): void;
}

export interface Tail {
  /** Hands over whatever is appended from now on. */
  join(reader: TailReader): Promise<void>;
  leave(reader: TailReader): Promise<void>;
}

export interface TailOptions {
  readonly jobId: string;
  readonly channel: string;
  readonly doorbells: Doorbells;
  readonly records: Pick<JobRecords, 'events'>;
  /** A look without a doorbell, for one that was lost. */
  readonly pollMs: number;
  /** The last seq that is there now; live events follow it. */
  lastSeq(): Promise<number>;
  onEmpty(): void;
  readonly logger: Logger;
}

export function createTail(options: TailOptions): Tail {
  const { jobId, records, doorbells, logger } = options;
  const readers = new Set<TailReader>();
  let seq: number | null = null;
  let reading = false;
  let again = false;
  let timer: NodeJS.Timeout | null = null;
  let opening: Promise<() => Promise<void>> | null = null;

  async function read(): Promise<void> {
    if (seq === null) return;
    for (;;) {
      const events = await records.events(jobId, seq, PAGE);
      const last = events.at(-1);
      if (last === undefined) return;
      seq = last.seq;
      for (const reader of readers) reader.take(events);
      if (events.length < PAGE) return;
    }
  }

  function look(): void {
    again = true;
    if (reading) return;
    reading = true;
    void (async () => {
      while (again) {
        again = false;
        await read().catch((error: unknown) =>
          logger.debug({ jobId, reason: messageOf(error) }, 'events cannot be read now'),
        );
      }
      reading = false;
    })();
  }

  return {
    async join(reader) {
      readers.add(reader);
      opening ??= doorbells.listen(options.channel, look);
      await opening;
      timer ??= setInterval(look, options.pollMs);
      seq ??= await options.lastSeq();
    },
    async leave(reader) {
      readers.delete(reader);
      if (readers.size > 0) return;
      options.onEmpty();
      if (timer !== null) clearInterval(timer);
      timer = null;
      const stop = await opening?.catch(() => null);
      await stop?.();
    },
  };
}
