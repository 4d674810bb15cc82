import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { JobRecords } from '../records/ports.ts';
import type { Doorbells } from '../redis/doorbells.ts';

const PAGE = 1000;

/** The new events of one job, read from Redis once and added to the inbox of each reader. */
export interface Tail {
  /** Gives the inbox every event that is appended from now on. */
  join(inbox: Inbox): Promise<void>;
  leave(inbox: Inbox): Promise<void>;
}

export interface TailOptions {
  readonly jobId: string;
  readonly channel: string;
  readonly doorbells: Doorbells;
  readonly records: Pick<JobRecords, 'events'>;
  /** Pause between reads without a doorbell, in case one was lost. */
  readonly pollMs: number;
  /** The seq of the last stored event; the tail begins after it. */
  lastSeq(): Promise<number>;
  /** Called when the last reader has left. */
  onEmpty(): void;
  readonly logger: Logger;
}

export function createTail(options: TailOptions): Tail {
  const { jobId, records, doorbells, logger } = options;
  const inboxes = new Set<Inbox>();
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
      for (const inbox of inboxes) inbox.add(events);
      if (events.length < PAGE) return;
    }
  }

  function onDoorbell(): void {
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
    async join(inbox) {
      inboxes.add(inbox);
      opening ??= doorbells.listen(options.channel, onDoorbell);
      await opening;
      timer ??= setInterval(onDoorbell, options.pollMs);
      seq ??= await options.lastSeq();
    },
    async leave(inbox) {
      inboxes.delete(inbox);
      if (inboxes.size > 0) return;
      options.onEmpty();
      if (timer !== null) clearInterval(timer);
      timer = null;
      const stop = await opening?.catch(() => null);
      await stop?.();
    },
  };
}

/** The events that one reader has not taken yet. */
export interface Inbox {
  add(events: readonly StoredEvent[]): void;
  /**
   * The next events; null: the reader has left. A reader that was waiting gets the batch object
   * that was added, so all readers who keep up hold the same one.
   * @throws AppError request.timeout when more than `maxEvents` were added since the last call
   */
  next(): Promise<readonly StoredEvent[] | null>;
}

export function createInbox(signal: AbortSignal, maxEvents: number): Inbox {
  let events: readonly StoredEvent[] = [];
  let overrun = false;
  let wake = (): void => {};
  signal.addEventListener('abort', () => wake(), { once: true });
  return {
    add(added) {
      if (overrun) return;
      overrun = events.length > 0 && events.length + added.length > maxEvents;
      if (overrun) events = [];
      else events = events.length === 0 ? added : events.concat(added);
      wake();
    },
    async next() {
      while (events.length === 0 && !overrun && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      if (signal.aborted) return null;
      if (overrun) {
        throw new AppError('request.timeout', 'the reader was too slow; resume from the last event it has');
      }
      const taken = events;
      events = [];
      return taken;
    },
  };
}
