import type { UsageQuery, UsageReport } from '../../client/answers.ts';
import type { UsageDimension, UsageRow } from '../../protocol/usage.ts';
import type { Arguments } from '../arguments.ts';
import { parseMoment } from '../arguments.ts';
import type { Command } from '../command.ts';
import { EXIT, usageError } from '../failures.ts';
import { type Column, formatDuration, formatUsd, renderTable } from '../format.ts';

/** Repeated here because the schema loads a library. The type keeps the list complete. */
const KEYS: Readonly<Record<UsageDimension, UsageDimension>> = {
  day: 'day',
  provider: 'provider',
  model: 'model',
  project: 'project',
  caller: 'caller',
  tag: 'tag',
  hour: 'hour',
  total: 'total',
};
const KNOWN = Object.values(KEYS);

export const usageCommand: Command = {
  name: 'usage',
  usage: '[--by KEY] [--from WHEN] [--to WHEN] [--json]',
  summary: 'sum up runs, tokens and costs by day, provider, model or project',
  options: {
    by: { type: 'string', value: 'KEY', help: `${KNOWN.join(', ')} (default: day)` },
    from: {
      type: 'string',
      value: 'WHEN',
      help: 'the start: a date (2026-11-01), a time, or how long ago (7d)',
    },
    to: { type: 'string', value: 'WHEN', help: 'the end, exclusive, in the same form' },
    json: { type: 'boolean', help: 'print the report as JSON' },
  },
  examples: ['bullpen usage --from 7d', 'bullpen usage --by model --from 2026-11-01 --to 2026-12-01'],
  async run(context, args) {
    if (args.positionals.length > 0) throw usageError('usage takes options only');
    const query = queryOf(args, context.now());
    const report = await (await context.connect()).usage(query);
    const { output } = context;
    if (args.flag('json')) output.json(report, 2);
    else if (report.data.length === 0) output.note('no usage in this time', 'dim');
    else output.text(`${usageTable(report, output.width).join('\n')}\n`);
    return EXIT.succeeded;
  },
};

function queryOf(args: Arguments, now: Date): UsageQuery {
  const moment = (name: 'from' | 'to') => {
    const text = args.text(name);
    return text === undefined ? {} : { [name]: parseMoment(`--${name}`, text, now) };
  };
  return { by: keyOf(args.text('by') ?? 'day'), ...moment('from'), ...moment('to') };
}

function keyOf(word: string): UsageDimension {
  const key = KNOWN.find((one) => one === word);
  if (key !== undefined) return key;
  throw usageError(`--by takes ${KNOWN.join(', ')}, not ${JSON.stringify(word)}`);
}

type Total = Exclude<keyof UsageRow, 'key' | 'successRate' | 'durationP50Ms' | 'durationP95Ms'>;

/** The rows and their sum. By tag there is no sum: one execution counts in several rows. */
export function usageTable({ by, data }: UsageReport, width: number | null): readonly string[] {
  const rows = by === 'tag' || data.length < 2 ? data : [...data, totalOf(data)];
  return renderTable(columns(by), rows, width);
}

function totalOf(rows: readonly UsageRow[]): UsageRow {
  const sum = (name: Total): number => rows.reduce((total, row) => total + row[name], 0);
  const executions = sum('executions');
  const succeeded = sum('succeeded');
  const cancelled = sum('cancelled');
  return {
    key: 'total',
    executions,
    succeeded,
    cancelled,
    successRate: executions > cancelled ? succeeded / (executions - cancelled) : null,
    durationP50Ms: null, // percentiles have no sum
    durationP95Ms: null,
    inputTokens: sum('inputTokens'),
    outputTokens: sum('outputTokens'),
    cacheReadTokens: sum('cacheReadTokens'),
    cacheWriteTokens: sum('cacheWriteTokens'),
    costUsd: sum('costUsd'),
    reportedUsd: sum('reportedUsd'),
    estimatedUsd: sum('estimatedUsd'),
    unknownCosts: sum('unknownCosts'),
  };
}

const count = (title: string, name: Total): Column<UsageRow> => ({
  title,
  cell: (row) => String(row[name]),
  right: true,
});

const duration = (title: string, name: 'durationP50Ms' | 'durationP95Ms'): Column<UsageRow> => ({
  title,
  cell: ({ [name]: ms }) => (ms === null ? '' : formatDuration(ms)),
  right: true,
});

const columns = (by: UsageDimension): readonly Column<UsageRow>[] => [
  { title: by.toUpperCase(), cell: ({ key }) => key ?? '(none)' },
  count('RUNS', 'executions'),
  {
    title: 'OK',
    cell: ({ successRate }) => (successRate === null ? '' : `${Math.floor(successRate * 100)}%`),
    right: true,
  },
  duration('P50', 'durationP50Ms'),
  duration('P95', 'durationP95Ms'),
  count('IN', 'inputTokens'),
  count('OUT', 'outputTokens'),
  count('CACHE READ', 'cacheReadTokens'),
  count('CACHE WRITE', 'cacheWriteTokens'),
  { title: 'COST', cell: ({ costUsd }) => formatUsd(costUsd), right: true },
  {
    title: 'ESTIMATED',
    cell: ({ estimatedUsd }) => (estimatedUsd === 0 ? '' : formatUsd(estimatedUsd)),
    right: true,
  },
  {
    title: 'UNKNOWN',
    cell: ({ unknownCosts }) => (unknownCosts === 0 ? '' : String(unknownCosts)),
    right: true,
  },
];
