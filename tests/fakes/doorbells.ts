import type { Doorbells, Listener } from '../../src/redis/doorbells.ts';

/** {@link Doorbells} in memory, whose connection a test can cut. */
export interface FakeDoorbells extends Doorbells {
  /** Messages are lost from now on. */
  cut(): void;
  /** Messages arrive again; listeners read the records again. */
  restore(): void;
  /** How many listeners a channel has. */
  listeners(channel: string): number;
  /** Delivers a message a moment later, as a script's PUBLISH does. Returns how many listen now. */
  send(channel: string, message: string): number;
}

export function createFakeDoorbells(): FakeDoorbells {
  const channels = new Map<string, Set<Listener>>();
  const resumed = new Set<() => void>();
  let connected = true;

  const send = (channel: string, message: string): number => {
    if (!connected) return 0;
    queueMicrotask(() => {
      for (const listener of channels.get(channel) ?? []) listener(message);
    });
    return channels.get(channel)?.size ?? 0;
  };

  return {
    async publish(channel, message) {
      send(channel, message);
    },
    async listen(channel, listener) {
      const set = channels.get(channel) ?? new Set();
      channels.set(channel, set);
      set.add(listener);
      return async () => {
        set.delete(listener);
      };
    },
    onResumed(callback) {
      resumed.add(callback);
      return () => resumed.delete(callback);
    },
    cut() {
      connected = false;
    },
    restore() {
      connected = true;
      for (const callback of resumed) callback();
    },
    listeners: (channel) => channels.get(channel)?.size ?? 0,
    send,
  };
}
