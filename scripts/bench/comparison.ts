/** Measurements of several ways, taken in turns, and what they make of a table. */
import { type Cell, type Line, type Row, WAY_NAMES, type Way } from './results.ts';
import { median, quantile, rounded } from './statistics.ts';

/** What was measured of one thing, by way; milliseconds, or whatever the line's unit says. */
export type Samples = Partial<Record<Way, number[]>>;

/** Adds a measurement to its way's. */
export function sample(samples: Samples, way: Way, value: number): void {
  const list = samples[way] ?? [];
  samples[way] = list;
  list.push(value);
}

export const measured = (values: readonly number[]): Cell =>
  values.length === 0
    ? { missing: 'not measured' }
    : {
        n: values.length,
        p25: rounded(quantile(values, 0.25)),
        p50: rounded(median(values)),
        p75: rounded(quantile(values, 0.75)),
      };

/** @param missing ways that could not be measured, and why */
export function line(
  name: string,
  unit: string,
  samples: Samples,
  missing: Readonly<Partial<Record<Way, string>>> = {},
): Line {
  const cells: Partial<Record<Way, Cell>> = {};
  for (const way of WAY_NAMES) {
    const values = samples[way];
    const why = missing[way];
    if (values !== undefined) cells[way] = measured(values);
    else if (why !== undefined) cells[way] = { missing: why };
  }
  return { name, unit, cells };
}

export const medianOf = (cell: Cell | undefined): number | null =>
  cell === undefined || 'missing' in cell ? null : cell.p50;

/** The ratio of the medians of two ways, as a row; nothing when one of them was not measured. */
export function ratio(
  { cells }: Line,
  way: Way,
  to: Way,
  described: { readonly name: string; readonly goal?: Row['goal'] },
): Row[] {
  const value = medianOf(cells[way]);
  const base = medianOf(cells[to]);
  if (value === null || base === null) return [];
  const { name, goal } = described;
  return [{ name, value: rounded(value / base), unit: '', ...(goal === undefined ? {} : { goal }) }];
}

/**
 * The order of a round: each begins with another way, so that no way is always behind the same one.
 * @param round from 0
 */
export function turns<T>(ways: readonly T[], round: number): readonly T[] {
  const start = round % Math.max(ways.length, 1);
  const rotated = [...ways.slice(start), ...ways.slice(0, start)];
  // Every other time through the other way about: else the one before is always the same.
  return Math.floor(round / Math.max(ways.length, 1)) % 2 === 0 ? rotated : rotated.toReversed();
}
