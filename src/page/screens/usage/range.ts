/** Which time the usage is of, as the address bar has it. */

export const RANGES = [
  { name: '24h', title: '24 hours', hours: 24 },
  { name: '7d', title: '7 days', hours: 7 * 24 },
  { name: '30d', title: '30 days', hours: 30 * 24 },
  { name: '90d', title: '90 days', hours: 90 * 24 },
] as const;

export interface Range {
  /** Name of one of the ranges, or `own`. */
  readonly name: string;
  /** RFC 3339. */
  readonly from: string;
  readonly to: string;
  /** What one point of a chart is. */
  readonly step: 'hour' | 'day';
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
/** A chart has no more points than that. */
const MAX_DAYS = 3660;

/** A range that was chosen in days begins with a whole day, so that its first point is whole. */
export function rangeOf(query: URLSearchParams, nowMs: number): Range {
  const [first, last] = [query.get('from') ?? '', query.get('to') ?? ''];
  if (query.get('range') === 'own' && DATE.test(first) && DATE.test(last)) {
    const [from, end] = [Date.parse(first), Date.parse(last) + DAY_MS];
    if (end > from && end - from <= MAX_DAYS * DAY_MS)
      return { name: 'own', from: iso(from), to: iso(end), step: end - from <= 2 * DAY_MS ? 'hour' : 'day' };
  }
  const chosen = RANGES.find(({ name }) => name === query.get('range')) ?? RANGES[1];
  const step = chosen.hours <= 48 ? 'hour' : 'day';
  const stepMs = step === 'hour' ? HOUR_MS : DAY_MS;
  const to = Math.floor(nowMs / stepMs) * stepMs + stepMs;
  return { name: chosen.name, from: iso(to - chosen.hours * HOUR_MS), to: iso(to), step };
}

const iso = (ms: number): string => new Date(ms).toISOString();

/** The keys of a report for every hour or day of a range, with the time at which each begins. */
export function stepsOf({
  from,
  to,
  step,
}: Range): readonly { readonly key: string; readonly atMs: number }[] {
  const stepMs = step === 'hour' ? HOUR_MS : DAY_MS;
  const count = Math.ceil((Date.parse(to) - Date.parse(from)) / stepMs);
  return Array.from({ length: count }, (_, index) => {
    const atMs = Date.parse(from) + index * stepMs;
    return { key: iso(atMs).slice(0, step === 'hour' ? 13 : 10), atMs };
  });
}
