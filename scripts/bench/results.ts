/**
 * What one run of the benchmark measured: the JSON it writes, from which the tables and the chart
 * are made.
 */
import { readFileSync } from 'node:fs';
import { type Static, Type } from '#typebox';
import { Value } from '#typebox/value';
import { median, quantile, rounded } from './statistics.ts';

/** The ways to run a prompt that are compared, with the heading of each column. */
export const WAYS = {
  hand: 'by hand',
  xargs: 'xargs -P',
  cold: 'Bullpen cold',
  bare: 'bare warm',
  startup: 'SDK startup()',
  prewarm: 'SDK prewarm()',
  warm: 'Bullpen warm',
  turn: 'bare next turn',
  session: 'Bullpen session',
} as const;
export type Way = keyof typeof WAYS;
export const WAY_NAMES = Object.keys(WAYS) as readonly Way[]; // the keys of a literal

/** The median and the middle half of `n` measurements. */
const Cell = Type.Object({
  n: Type.Integer(),
  p25: Type.Number(),
  p50: Type.Number(),
  p75: Type.Number(),
});
export type Cell = Static<typeof Cell>;

/** One quantity, side by side for each way that has it. */
export const Line = Type.Object({
  name: Type.String(),
  unit: Type.String(),
  cells: Type.Partial(
    Type.Object({
      hand: Cell,
      xargs: Cell,
      cold: Cell,
      bare: Cell,
      startup: Cell,
      prewarm: Cell,
      warm: Cell,
      turn: Cell,
      session: Cell,
    }),
  ),
});
export type Line = Static<typeof Line>;

/** One figure below the table. */
export const Row = Type.Object({ name: Type.String(), value: Type.Number(), unit: Type.String() });
export type Row = Readonly<Static<typeof Row>>;

const Section = Type.Object({
  title: Type.String(),
  lines: Type.Array(Line),
  rows: Type.Array(Row),
  /** What a reader needs to know to understand the figures. */
  notes: Type.Array(Type.String()),
});
export type Section = Static<typeof Section>;

const MachineFacts = Type.Object({
  cores: Type.Number(),
  processor: Type.String(),
  memoryGb: Type.Number(),
  system: Type.String(),
  node: Type.String(),
  redis: Type.String(),
  claude: Type.String(),
  /** Load average before the run. Above the number of cores, the figures are worth little. */
  loadBefore: Type.Number(),
  /**
   * Median time of one small fdatasync in the data folder. Every accepted job waits for some of
   * these.
   */
  fdatasyncMs: Type.Number(),
});
export type MachineFacts = Static<typeof MachineFacts>;

export const Results = Type.Object({
  date: Type.String(),
  quick: Type.Boolean(),
  machine: MachineFacts,
  sections: Type.Record(Type.String(), Section),
});
export type Results = Static<typeof Results>;

/** @throws when the file was not written by `npm run bench` */
export function readResults(path: string): Results {
  const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (Value.Check(Results, content)) return content;
  const [error] = Value.Errors(Results, content);
  throw new Error(`${path} is not a result of the benchmark: ${error?.instancePath} ${error?.message}`);
}

/** Measurements of one quantity, by way. */
export type Samples = Partial<Record<Way, number[]>>;

export function addSample(samples: Samples, way: Way, value: number): void {
  const list = samples[way] ?? [];
  samples[way] = list;
  list.push(value);
}

/** A way without samples gets no cell. */
export function line(name: string, unit: string, samples: Samples): Line {
  const cells: Partial<Record<Way, Cell>> = {};
  for (const way of WAY_NAMES) {
    const values = samples[way] ?? [];
    if (values.length === 0) continue;
    cells[way] = {
      n: values.length,
      p25: rounded(quantile(values, 0.25)),
      p50: rounded(median(values)),
      p75: rounded(quantile(values, 0.75)),
    };
  }
  return { name, unit, cells };
}

/** The ratio of the medians of two ways; none when one of them was not measured. */
export function ratio({ cells }: Line, way: Way, to: Way, name: string): Row[] {
  const value = cells[way]?.p50;
  const base = cells[to]?.p50;
  return value === undefined || base === undefined ? [] : [{ name, value: rounded(value / base), unit: '×' }];
}

/**
 * The median of what one way takes longer than another, block by block; none when one of them was
 * not measured.
 * @param blocks a block's samples, in order
 */
export function added(blocks: readonly Samples[], way: Way, to: Way, name: string, unit: string): Row[] {
  const differences = blocks.flatMap((block) => {
    const [values, base] = [block[way], block[to]];
    return values === undefined || base === undefined ? [] : [median(values) - median(base)];
  });
  return differences.length === 0 ? [] : [{ name, value: rounded(median(differences)), unit }];
}
