import type { Redis } from 'ioredis';
import { messageOf } from '../errors.ts';
import type { Log } from '../log.ts';

export type Listener = (message: string) => void;

/** Pub/sub. Each message arrives at most once. */
export interface Doorbells {
  publish(channel: string, message: string): Promise<void>;
  /** Resolves when Redis has acknowledged the subscription. The returned function ends it. */
  listen(channel: string, listener: Listener): Promise<() => Promise<void>>;
  /**
   * Calls back after each new subscription: messages may be lost, so the records must be read
   * again.
   */
  onResumed(callback: () => void): () => void;
}

/**
 * {@link Doorbells} over Redis pub/sub.
 *
 * ioredis would subscribe again by itself after a reconnect, but does not report when Redis has
 * acknowledged that. So on `ready` this subscribes to each channel again, waits for the
 * acknowledgement, and only then calls the callbacks of `onResumed`.
 *
 * @param publisher an ordinary connection
 * @param subscriber a connection of its own, used for nothing else
 */
export function createRedisDoorbells(publisher: Redis, subscriber: Redis, logger: Log): Doorbells {
  const listeners = new Map<string, Set<Listener>>();
  const resumed = new Set<() => void>();

  subscriber.on('message', (channel: string, message: string) => {
    for (const listener of listeners.get(channel) ?? []) listener(message);
  });
  let first = subscriber.status !== 'ready';
  subscriber.on('ready', () => {
    if (first) {
      first = false;
      return;
    }
    const channels = [...listeners.keys()];
    const again = channels.length === 0 ? Promise.resolve() : subscriber.subscribe(...channels);
    again.then(
      () => {
        for (const callback of resumed) callback();
      },
      (error: unknown) => logger.debug({ reason: messageOf(error) }, 'subscribing again failed'),
    );
  });

  return {
    async publish(channel, message) {
      await publisher.publish(channel, message);
    },

    async listen(channel, listener) {
      let set = listeners.get(channel);
      if (set === undefined) {
        set = new Set();
        listeners.set(channel, set);
      }
      set.add(listener);
      const own = set;
      await subscriber.subscribe(channel);
      return async () => {
        own.delete(listener);
        if (own.size > 0 || listeners.get(channel) !== own) return;
        listeners.delete(channel);
        // A connection that is down has no subscription. The reply is not awaited: Redis may be
        // frozen, and the listener is removed already.
        if (subscriber.status === 'ready') subscriber.unsubscribe(channel).catch(() => undefined);
      };
    },

    onResumed(callback) {
      resumed.add(callback);
      return () => resumed.delete(callback);
    },
  };
}
