/** The value below which `share` (0 to 1) of the values lie, interpolated. NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Three decimals, for the JSON. */
export const rounded = (value: number): number => Math.round(value * 1000) / 1000;

/**
 * Things per second in the steady part of a run with `concurrency` at once, from the times at which
 * each ended (ms, in any order). Counts from the end of the first `concurrency` things to the same
 * number before the last: this leaves out the start, the end, and what a pool had ready. NaN when
 * nothing is left.
 */
export function steadyRate(endedAtMs: readonly number[], concurrency: number): number {
  const sorted = endedAtMs.toSorted((a, b) => a - b);
  const first = concurrency - 1;
  const last = sorted.length - 1 - (concurrency - 1);
  const from = sorted[first];
  const to = sorted[last];
  if (from === undefined || to === undefined || last <= first) return Number.NaN;
  return ((last - first) * 1000) / (to - from);
}

/**
 * The order of the ways in one round: each round begins with another way, and every other cycle
 * runs backwards, so that no way always follows the same one.
 * @param round from 0
 */
export function turns<T>(ways: readonly T[], round: number): readonly T[] {
  const start = round % Math.max(ways.length, 1);
  const rotated = [...ways.slice(start), ...ways.slice(0, start)];
  return Math.floor(round / Math.max(ways.length, 1)) % 2 === 0 ? rotated : rotated.toReversed();
}
