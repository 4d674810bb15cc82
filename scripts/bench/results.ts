/** What one run of the benchmarks found: the JSON it writes, and what the chart and the tables are made from. */
import { readFileSync } from 'node:fs';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';

/** The ways to have a prompt run that are compared, and what stands above their columns. */
export const WAYS = {
  hand: 'by hand',
  sdk: 'Agent SDK',
  xargs: 'xargs -P',
  cold: 'Bullpen cold',
  warm: 'Bullpen warm',
  session: 'Bullpen session',
} as const;
export type Way = keyof typeof WAYS;
export const WAY_NAMES = Object.keys(WAYS) as readonly Way[]; // the keys of a literal

/** A median and how far half of the measurements lie from each other. */
const Measured = Type.Object({
  n: Type.Integer(),
  p25: Type.Number(),
  p50: Type.Number(),
  p75: Type.Number(),
});
export type Measured = Static<typeof Measured>;

/** A cell that was not measured, and why. */
const Missing = Type.Object({ missing: Type.String() });

export const Cell = Type.Union([Measured, Missing]);
export type Cell = Static<typeof Cell>;

/** One thing measured side by side. A way that is not named does not have it. */
export const Line = Type.Object({
  name: Type.String(),
  unit: Type.String(),
  cells: Type.Partial(
    Type.Object({ hand: Cell, sdk: Cell, xargs: Cell, cold: Cell, warm: Cell, session: Cell }),
  ),
});
export type Line = Static<typeof Line>;

/** One line of the list below a table. */
export const Row = Type.Object({
  name: Type.String(),
  value: Type.Number(),
  unit: Type.String(),
  /** `≤ 1.05`: what is wanted of it, if anything. */
  goal: Type.Optional(
    Type.Object({ relation: Type.Union([Type.Literal('≤'), Type.Literal('≥')]), value: Type.Number() }),
  ),
});
export type Row = Readonly<Static<typeof Row>>;

const Section = Type.Object({
  title: Type.String(),
  lines: Type.Optional(Type.Array(Line)),
  rows: Type.Array(Row),
  /** What a reader of the figures has to know. */
  notes: Type.Optional(Type.Array(Type.String())),
});

const MachineFacts = Type.Object({
  cores: Type.Number(),
  processor: Type.String(),
  memoryGb: Type.Number(),
  system: Type.String(),
  node: Type.String(),
  redis: Type.String(),
  claude: Type.String(),
  sdk: Type.String(),
  /** Above the number of cores: somebody else is at work, and the figures are worth little. */
  loadBefore: Type.Number(),
  /** Every acknowledged job waits for some of these. */
  fdatasyncMs: Type.Number(),
});
export type MachineFacts = Static<typeof MachineFacts>;

export const Results = Type.Object({
  date: Type.String(),
  quick: Type.Boolean(),
  machine: MachineFacts,
  /** What a reader of any of the figures has to know. */
  notes: Type.Array(Type.String()),
  sections: Type.Record(Type.String(), Section),
});
export type Results = Static<typeof Results>;

/** @throws when the file is no result of `npm run bench` */
export function readResults(path: string): Results {
  const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (Value.Check(Results, content)) return content;
  const [error] = Value.Errors(Results, content);
  throw new Error(`${path} is no result of the benchmark: ${error?.instancePath} ${error?.message}`);
}

/** Null without a goal, and for a value that could not be measured. */
export const isMet = ({ value, goal }: Row): boolean | null =>
  goal === undefined || Number.isNaN(value)
    ? null
    : goal.relation === '≤'
      ? value <= goal.value
      : value >= goal.value;
