import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import type { Doorbells } from '../redis/doorbells.ts';

/** The new events of one stream, read from Redis once and added to the inbox of each reader. */
export interface Tail<Event, Place> {
  /** The place of the last event that was read; null before the first `join` has resolved. */
  readonly place: Place | null;
  /** Gives the inbox every event that is appended from now on. */
  join(inbox: Inbox<Event>): Promise<void>;
  leave(inbox: Inbox<Event>): Promise<void>;
}

export interface TailOptions<Event, Place> {
  readonly channel: string;
  readonly doorbells: Pick<Doorbells, 'listen'>;
  /** Pause between reads without a doorbell, in case one was lost. */
  readonly pollMs: number;
  /** The place of the last stored event; the tail begins after it. */
  newest(): Promise<Place>;
  /** `read` returns fewer events than this only at the end. */
  readonly pageSize: number;
  /**
   * The events after a place, a page at most. An AppError: no more will come, and the readers get
   * the error.
   * @throws AppError events.expired when they are lost; the readers get the error
   */
  read(after: Place): Promise<readonly Event[] | AppError>;
  placeOf(event: Event): Place;
  /** Called when the last reader has left, or when no more events will come. */
  onEnd(): void;
  readonly logger: Logger;
}

export function createTail<Event, Place>(options: TailOptions<Event, Place>): Tail<Event, Place> {
  const { doorbells, logger } = options;
  const inboxes = new Set<Inbox<Event>>();
  let place: Place | null = null;
  let reading = false;
  let again = false;
  let timer: NodeJS.Timeout | null = null;
  let opening: Promise<() => Promise<void>> | null = null;
  let beginning: Promise<void> | null = null;

  async function read(): Promise<void> {
    while (place !== null) {
      const events = await options.read(place);
      if (events instanceof AppError) return end(events);
      const last = events.at(-1);
      if (last === undefined) return;
      place = options.placeOf(last);
      for (const inbox of inboxes) inbox.add(events);
      if (events.length < options.pageSize) return;
    }
  }

  function onFailure(error: unknown): void {
    logger.debug({ reason: messageOf(error) }, 'events cannot be read now');
    if (error instanceof AppError && error.code === 'events.expired') end(error);
  }

  /** One read for all who join meanwhile: a later one would skip events that none has got. */
  async function begin(): Promise<void> {
    try {
      place = await options.newest();
    } finally {
      beginning = null;
    }
  }

  function end(error: AppError): void {
    place = null;
    options.onEnd();
    for (const inbox of inboxes) inbox.fail(error);
  }

  function onDoorbell(): void {
    again = true;
    if (reading) return;
    reading = true;
    void (async () => {
      while (again) {
        again = false;
        await read().catch(onFailure);
      }
      reading = false;
    })();
  }

  return {
    get place() {
      return place;
    },
    async join(inbox) {
      inboxes.add(inbox);
      opening ??= doorbells.listen(options.channel, onDoorbell);
      await opening;
      timer ??= setInterval(onDoorbell, options.pollMs);
      if (place !== null) return;
      beginning ??= begin();
      await beginning;
    },
    async leave(inbox) {
      inboxes.delete(inbox);
      if (inboxes.size > 0) return;
      options.onEnd();
      if (timer !== null) clearInterval(timer);
      timer = null;
      const stop = await opening?.catch(() => null);
      await stop?.();
    },
  };
}

/** The events that one reader has not taken yet. */
export interface Inbox<Event> {
  add(events: readonly Event[]): void;
  /** `next()` rejects with this from now on. */
  fail(error: AppError): void;
  /**
   * The next events; null: the reader has left. A reader that was waiting gets the batch object
   * that was added, so all readers who keep up hold the same one.
   * @throws AppError request.timeout when more were added since the last call than may wait
   */
  next(): Promise<readonly Event[] | null>;
}

/** @param bytes also bounds what may wait by its size; `of`: the size of an event */
export function createInbox<Event>(
  signal: AbortSignal,
  maxEvents: number,
  bytes: { readonly max: number; of(event: Event): number } | null = null,
): Inbox<Event> {
  let events: readonly Event[] = [];
  let size = 0;
  let failure: AppError | null = null;
  let wake = (): void => {};
  signal.addEventListener('abort', () => wake(), { once: true });
  function fail(error: AppError): void {
    failure ??= error;
    events = [];
    wake();
  }
  return {
    fail,
    add(added) {
      if (failure !== null) return;
      if (bytes !== null) for (const event of added) size += bytes.of(event);
      const isFull = events.length + added.length > maxEvents || (bytes !== null && size > bytes.max);
      if (events.length > 0 && isFull) {
        fail(new AppError('request.timeout', 'the reader was too slow; resume from the last event it has'));
        return;
      }
      events = events.length === 0 ? added : events.concat(added);
      wake();
    },
    async next() {
      while (events.length === 0 && failure === null && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      if (signal.aborted) return null;
      if (failure !== null) throw failure;
      const taken = events;
      events = [];
      size = 0;
      return taken;
    },
  };
}
