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

/** What the JSON says about a list of measurements. */
export const summary = (values: readonly number[]) => ({
  n: values.length,
  min: rounded(Math.min(...values)),
  p50: rounded(median(values)),
  p90: rounded(quantile(values, 0.9)),
  p99: rounded(quantile(values, 0.99)),
  max: rounded(Math.max(...values)),
});

/**
 * Things per second in the steady part of a run of `concurrency` at once, from when each of them ended (ms, in any
 * order): between the end number `concurrency` and the one as far from the last. What began before the clock, at the
 * start, and what runs with free processors, at the end, is left out; so is what a pool had ready. NaN when nothing is
 * left.
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
