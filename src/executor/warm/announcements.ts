/** An announced job is claimed within milliseconds, or by another node. */
const ANNOUNCED_FOR_MS = 2000;

/** Jobs that are about to be claimed, by the shape of their process. */
export interface Announcements {
  /** How many of this shape are on their way now, this one included. */
  add(key: string): number;
  /** One of them has come. */
  came(key: string): void;
}

/** Starts without any. */
export function createAnnouncements(now: () => number = () => performance.now()): Announcements {
  let announced: { readonly key: string; readonly at: number }[] = [];
  return {
    add(key) {
      announced = [...announced.filter(({ at }) => now() - at < ANNOUNCED_FOR_MS), { key, at: now() }];
      return announced.filter((one) => one.key === key).length;
    },
    came(key) {
      const first = announced.findIndex((one) => one.key === key);
      if (first !== -1) announced.splice(first, 1);
    },
  };
}
