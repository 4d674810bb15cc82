/** One subscription of a live connection: each event once, for a reader who may be slow. */
import type { LiveMessage } from '../protocol/live.ts';
import { apiErrorIn, mayResume } from './errors.ts';
import type { Link, Question } from './live-link.ts';

export interface TopicOptions<Event> {
  readonly link: Pick<Link, 'tell'>;
  /** Asks for the events after what the reader has. */
  subscribe(): Question;
  readonly unsubscribe: Question;
  /** The event in an output, or in the answer to `subscribe`, whose place it notes; null: none. */
  take(message: LiveMessage): Event | null;
  /** Whether the place of the reader is lost, so that the next subscription begins without it. */
  beginsAgain(error: Error): boolean;
  /** Whether no event follows this one. */
  isLast(event: Event): boolean;
  /** Waits before a refused subscription is tried again. */
  retry(act: () => void): void;
  readonly signal: AbortSignal | undefined;
}

export interface Topic<Event> {
  /** A connection is there: subscribes on it. */
  connected(): void;
  /** A message of its target. */
  receive(message: LiveMessage, length: number): void;
  /** The answer to its subscription. False: it is not. */
  answer(message: LiveMessage, length: number): boolean;
  /** Ends it: with its reader's error, or without one. */
  end(error: Error | null): void;
  read(): AsyncGenerator<Event, void, undefined>;
}

/** Characters of the messages that wait for a slow reader. What follows is read again later. */
const MAX_BEHIND = 4 * 1024 * 1024;

export function createTopic<Event>(options: TopicOptions<Event>): Topic<Event> {
  const { link, signal } = options;
  let inbox: { readonly event: Event; readonly length: number }[] = [];
  let behind = 0;
  let end: { readonly error: Error | null } | null = null;
  /** The reader was too slow: what comes is dropped until it is subscribed again. */
  let cut = false;
  let subscribing: string | null = null;
  let wake = (): void => {};

  function ask(): void {
    if (end === null) subscribing = link.tell(options.subscribe());
  }

  function refuse(error: Error): void {
    if (options.beginsAgain(error)) ask();
    else if (!mayResume(error)) finish(error);
    else options.retry(ask);
  }

  function add(message: LiveMessage, length: number): void {
    const event = options.take(message);
    if (event === null) return;
    inbox.push({ event, length });
    behind += length;
    if (options.isLast(event)) finish(null);
    if (behind > MAX_BEHIND) {
      cut = true;
      subscribing = null;
      link.tell(options.unsubscribe);
    }
    wake();
  }

  function finish(error: Error | null): void {
    end ??= { error };
    wake();
  }

  return {
    connected() {
      if (!cut || inbox.length === 0) ask();
    },
    receive(message, length) {
      // The server answers a subscription first, so this was sent to an earlier one.
      if (end !== null || cut || subscribing !== null) return;
      if (message.type === 'error') return refuse(apiErrorIn(message.data));
      if (message.type === 'status' && 'ended' in message.data) return finish(null);
      if (message.type === 'output') add(message, length);
    },
    answer(message, length) {
      if (message.reply_to !== subscribing) return false;
      subscribing = null;
      if (message.type === 'error') refuse(apiErrorIn(message.data));
      else {
        cut = false;
        add(message, length);
      }
      return true;
    },
    end: finish,
    async *read() {
      const onAbort = (): void => wake();
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        ask();
        for (;;) {
          signal?.throwIfAborted();
          const batch = inbox;
          [inbox, behind] = [[], 0];
          for (const { event } of batch) {
            yield event;
            signal?.throwIfAborted();
          }
          if (inbox.length > 0) continue;
          if (end !== null) {
            if (end.error !== null) throw end.error;
            return;
          }
          if (cut && subscribing === null) ask();
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        signal?.removeEventListener('abort', onAbort);
        if (end === null) link.tell(options.unsubscribe);
        end = { error: null };
      }
    },
  };
}
