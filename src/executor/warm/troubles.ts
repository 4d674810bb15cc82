/** Shapes whose processes keep dying while they wait, or whose files keep changing, are left alone for a while. */
const PAUSE_MS = 60_000;
const TROUBLES_IN_A_ROW = 3;
const MAX_KNOWN = 100;

export interface Troubles {
  /** A process of this shape was of no use. */
  add(key: string): void;
  /** One of them has served. */
  over(key: string): void;
  isPaused(key: string): boolean;
}

/** Starts without any. */
export function createTroubles(now: () => number = () => performance.now()): Troubles {
  /** The one whose trouble is longest ago comes first. */
  const known = new Map<string, { count: number; pausedUntil: number }>();
  return {
    add(key) {
      const count = (known.get(key)?.count ?? 0) + 1;
      known.delete(key);
      known.set(key, { count, pausedUntil: count >= TROUBLES_IN_A_ROW ? now() + PAUSE_MS : 0 });
      const [oldest] = known.keys();
      if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
    },
    over: (key) => void known.delete(key),
    isPaused(key) {
      const one = known.get(key);
      if (one === undefined || one.pausedUntil === 0) return false;
      if (one.pausedUntil > now()) return true;
      known.delete(key);
      return false;
    },
  };
}
