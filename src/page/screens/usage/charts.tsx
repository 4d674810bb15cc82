/** The usage over time. */
import { useMemo } from 'preact/hooks';
import type { UsageRow } from '../../../protocol/usage.ts';
import {
  formatCost,
  formatCount,
  formatDuration,
  formatNumber,
  formatShortCost,
  formatWholeDuration,
} from '../../format.ts';
import { Chart, type Series } from './chart.tsx';
import { type Range, stepsOf } from './range.ts';

interface ChartsProps {
  readonly rows: readonly UsageRow[];
  readonly total: UsageRow | null;
  readonly range: Range;
}

const day = new Intl.DateTimeFormat(undefined, { timeZone: 'UTC', month: 'short', day: 'numeric' });
const hour = new Intl.DateTimeFormat(undefined, {
  ...{ timeZone: 'UTC', month: 'short', day: 'numeric', hour: 'numeric' },
});

export const formatPercent = (rate: number | null): string =>
  rate === null ? '–' : `${formatNumber(Math.floor(rate * 1000) / 10)} %`;
export const inputOf = (row: UsageRow): number =>
  row.inputTokens + row.cacheReadTokens + row.cacheWriteTokens;
const orDash = (ms: number | null): string => (ms === null ? '–' : formatDuration(ms));
const roundDuration = (ms: number): string => (ms === 0 ? formatNumber(0) : formatWholeDuration(ms));
const ROUND_MS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000],
  ...[1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080].map((minutes) => minutes * 60_000),
];

export function Charts({ rows, total, range }: ChartsProps) {
  const { from, to, step } = range;
  const { times, byTime, series } = useMemo(() => {
    const known = new Map(rows.map((row) => [row.key, row]));
    const steps = stepsOf({ name: '', from, to, step });
    const found = steps.map(({ key }) => known.get(key) ?? null);
    const values = (of: (row: UsageRow) => number | null, none: number | null = 0) =>
      found.map((row) => (row === null ? none : of(row)));
    const bars = (label: string, colour: string, of: (row: UsageRow) => number): Series => ({
      ...{ label, colour, look: 'bars', values: values(of) },
    });
    const line = (label: string, colour: string, of: (row: UsageRow) => number | null): Series => ({
      ...{ label, colour, look: 'line', values: values(of, null) },
    });
    return {
      times: steps.map(({ atMs }) => atMs / 1000),
      byTime: found,
      series: {
        cost: [
          bars('estimated', '--info', (row) => row.costUsd),
          bars('reported', '--accent', (row) => row.reportedUsd),
        ],
        // Drawn one over the other: what is seen of each is its own part.
        executions: [
          bars('failed', '--bad', (row) => row.executions),
          bars('cancelled', '--line-strong', (row) => row.succeeded + row.cancelled),
          bars('succeeded', '--good', (row) => row.succeeded),
        ],
        tokens: [
          bars('out', '--accent', (row) => inputOf(row) + row.outputTokens),
          bars('in', '--info', inputOf),
        ],
        duration: [
          line('95th percentile', '--warn', (row) => row.durationP95Ms),
          line('median', '--info', (row) => row.durationP50Ms),
        ],
      },
    };
  }, [rows, from, to, step]);
  const describe = (what: (row: UsageRow) => string) => (index: number) => {
    const at = (step === 'hour' ? hour : day).format((times[index] ?? 0) * 1000);
    const row = byTime[index] ?? null;
    return `${at}: ${row === null ? 'nothing' : what(row)}`;
  };
  const common = { times, step };
  const executions = (row: UsageRow): string =>
    `${formatNumber(row.executions)}, ${formatPercent(row.successRate)} succeeded`;
  const tokens = (row: UsageRow): string =>
    `${formatCount(inputOf(row))} in, ${formatCount(row.outputTokens)} out`;
  const duration = (row: UsageRow): string =>
    `median ${orDash(row.durationP50Ms)}, 95th percentile ${orDash(row.durationP95Ms)}`;
  const whole = (what: (row: UsageRow) => string): string => (total === null ? 'nothing' : what(total));
  return (
    <div class="charts">
      <Chart
        {...common}
        title="Cost"
        whole={whole(({ costUsd }) => formatCost(costUsd))}
        series={series.cost}
        format={formatShortCost}
        describe={describe(({ costUsd }) => formatCost(costUsd))}
      />
      <Chart
        {...common}
        title="Executions"
        whole={whole(executions)}
        series={series.executions}
        format={formatCount}
        describe={describe(executions)}
      />
      <Chart
        {...common}
        title="Tokens"
        whole={whole(tokens)}
        series={series.tokens}
        format={formatCount}
        describe={describe(tokens)}
      />
      <Chart
        {...common}
        title="Duration"
        whole={whole(duration)}
        series={series.duration}
        format={roundDuration}
        marks={ROUND_MS}
        describe={describe(duration)}
      />
    </div>
  );
}
