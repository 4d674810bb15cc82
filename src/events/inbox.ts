import { AppError } from '../errors.ts';
import type { TakeAtOnce } from '../http/ports.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { TailReader } from './tail.ts';

export interface Inbox extends TailReader {
  /**
   * The next events; null once the reader has left. A batch that finds the reader waiting is handed on as it is, so
   * that all readers who keep up hold the same one.
   * @param takeAtOnce is asked first for what finds the reader waiting: hundreds of readers wait for each line, and a
   * promise for each of them costs as much as its bytes
   * @throws AppError request.timeout when more was waiting than `maxEvents`
   */
  next(takeAtOnce: TakeAtOnce): Promise<readonly StoredEvent[] | null>;
}

/** What one reader has not taken yet. @param maxEvents how far it may be behind before it is cut */
export function createInbox(signal: AbortSignal, maxEvents: number): Inbox {
  let waiting: readonly StoredEvent[] = [];
  let overrun = false;
  // Asking a signal that is made of others costs more than the rest of this.
  let left = signal.aborted;
  let wake: (() => void) | null = null;
  /** There while the reader waits and nothing is here for it. */
  let asking: TakeAtOnce | null = null;
  const ring = (): void => {
    asking = null;
    wake?.();
  };
  const leave = (): void => {
    left = true;
    ring();
  };
  signal.addEventListener('abort', leave, { once: true });
  return {
    take(events) {
      if (asking?.(events) === true || overrun) return;
      if (waiting.length > 0 && waiting.length + events.length > maxEvents) {
        overrun = true;
        waiting = []; // it will read them again, from where it was
      } else {
        waiting = waiting.length === 0 ? events : waiting.concat(events);
      }
      ring();
    },
    async next(takeAtOnce) {
      while (waiting.length === 0 && !overrun && !left) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        asking = takeAtOnce;
        await promise;
      }
      if (left) return null;
      if (overrun) {
        throw new AppError('request.timeout', 'the reader was too slow; resume from the last event it has');
      }
      const events = waiting;
      waiting = [];
      return events;
    },
  };
}
