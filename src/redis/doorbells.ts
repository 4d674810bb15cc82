import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';

/** One message of a channel. */
export type Listener = (message: string) => void;

/** Pub/sub, at most once. */
export interface Doorbells {
  publish(channel: string, message: string): Promise<void>;
  /** Resolves once messages arrive for certain. The returned function stops it. */
  listen(channel: string, listener: Listener): Promise<() => Promise<void>>;
  /** Called after each re-subscription: whoever waited must read the records again. */
  onResumed(callback: () => void): () => void;
}

/**
 * {@link Doorbells} over Redis pub/sub.
 *
 * ioredis re-subscribes by itself after a reconnect, but its `ready` comes before the server has acknowledged
 * that, and nothing tells when it has. So on `ready` each channel is subscribed again (idempotent), the
 * acknowledgement awaited, and only then are listeners told to read the records again.
 *
 * @param publisher an ordinary connection
 * @param subscriber a connection of its own, used for nothing else
 */
export function createRedisDoorbells(publisher: Redis, subscriber: Redis, logger: Logger): Doorbells {
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
        // A connection that is down has no subscription left to end. Nobody waits for a Redis that is frozen:
        // the listener hears nothing more already.
        if (subscriber.status === 'ready') subscriber.unsubscribe(channel).catch(() => undefined);
      };
    },

    onResumed(callback) {
      resumed.add(callback);
      return () => resumed.delete(callback);
    },
  };
}
