/** Ids in order of a number, equal numbers in order of the id: a Redis sorted set. */
export interface SortedIds {
  readonly size: number;
  /** Adds an id, or gives it another score. */
  set(id: string, score: number): void;
  delete(id: string): void;
  score(id: string): number | null;
  first(): string | null;
  /** In order; only those with a score up to `max`. */
  upTo(max: number): readonly (readonly [id: string, score: number])[];
}

export function createSortedIds(): SortedIds {
  const scores = new Map<string, number>();
  const sorted: SortedIds = {
    get size() {
      return scores.size;
    },
    set: (id, score) => void scores.set(id, score),
    delete: (id) => void scores.delete(id),
    score: (id) => scores.get(id) ?? null,
    first: () => sorted.upTo(Number.POSITIVE_INFINITY)[0]?.[0] ?? null,
    upTo: (max) => [...scores].filter(([, score]) => score <= max).sort(inOrder),
  };
  return sorted;
}

function inOrder([aId, a]: readonly [string, number], [bId, b]: readonly [string, number]): number {
  if (a !== b) return a - b;
  return aId < bId ? -1 : 1;
}
