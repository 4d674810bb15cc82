const EVERY_MS = 60_000;
/** Kinds beyond these are forgotten, the oldest first. */
const MAX_KINDS = 1000;

/**
 * For what may happen a hundred times a second: gives, for the first of a kind and then for one a minute, how many there
 * were since the last; null for all others.
 */
export function createSeldom(now: () => number = () => performance.now()): (kind: string) => number | null {
  const kinds = new Map<string, { at: number; held: number }>();
  return (kind) => {
    const known = kinds.get(kind);
    if (known !== undefined && now() - known.at < EVERY_MS) {
      known.held += 1;
      return null;
    }
    kinds.delete(kind);
    kinds.set(kind, { at: now(), held: 0 });
    const [oldest] = kinds.keys();
    if (kinds.size > MAX_KINDS && oldest !== undefined) kinds.delete(oldest);
    return (known?.held ?? 0) + 1;
  };
}
