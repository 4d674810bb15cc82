/** Usage as a table: one row per day, provider, model and so on. */
import type { UsageDimension, UsageRow } from '../../../protocol/usage.ts';
import { formatCost, formatCount, formatDuration, formatNumber } from '../../format.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { formatPercent } from './charts.tsx';

interface UsageTableProps {
  readonly title: string;
  readonly by: UsageDimension;
  readonly rows: readonly UsageRow[];
  /** Null: the rows have no sum, for one execution may be in several. */
  readonly total: UsageRow | null;
}

const TITLES: Readonly<Partial<Record<UsageDimension, string>>> = {
  ...{ hour: 'Hour (UTC)', day: 'Day (UTC)', provider: 'Provider', model: 'Model' },
  ...{ project: 'Project', tag: 'Tag', caller: 'Caller' },
};

/** The lists of jobs that these keys name. */
const LISTS: Readonly<Partial<Record<UsageDimension, string>>> = {
  provider: 'provider',
  model: 'model',
  project: 'project',
  caller: 'principal',
  tag: 'tag',
};

export function UsageTable({ title, by, rows, total }: UsageTableProps) {
  const most = Math.max(0, ...rows.map(({ costUsd }) => costUsd));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="card scroll-x usage-table" aria-label={title} tabIndex={0}>
      <table class="table">
        <caption class="visually-hidden">{title}</caption>
        <thead>
          <tr>
            <th scope="col">{TITLES[by] ?? by}</th>
            <th scope="col" class="number">
              Cost
            </th>
            <th scope="col">
              <span class="visually-hidden">Share of the highest cost</span>
            </th>
            <Numbers names={['Executions', 'Succeeded', 'Median', 'p95']} />
            <Numbers names={['Tokens in', 'Out', 'Cache read', 'Cache write']} />
            <Numbers names={['Estimated', 'Unknown']} />
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row key={row.key ?? '\0'} by={by} row={row} share={most === 0 ? 0 : row.costUsd / most} />
          ))}
        </tbody>
        {total !== null && rows.length > 1 && (
          <tfoot>
            <Row by="total" row={total} share={null} />
          </tfoot>
        )}
      </table>
    </section>
  );
}

const Numbers = ({ names }: { readonly names: readonly string[] }) =>
  names.map((name) => (
    <th key={name} scope="col" class="number">
      {name}
    </th>
  ));

interface RowProps {
  readonly by: UsageDimension;
  readonly row: UsageRow;
  readonly share: number | null;
}

function Row({ by, row, share }: RowProps) {
  const list = LISTS[by];
  const name =
    row.key === null
      ? 'none'
      : by === 'hour'
        ? `${row.key.replace('T', ' ')}:00`
        : by === 'total'
          ? 'Total'
          : visibleText(row.key);
  const plain = (text: string) => ({ text, whole: undefined });
  const tokens = (count: number) => ({ text: formatCount(count), whole: formatNumber(count) });
  const cells = [
    plain(formatNumber(row.executions)),
    plain(formatPercent(row.successRate)),
    plain(row.durationP50Ms === null ? '–' : formatDuration(row.durationP50Ms)),
    plain(row.durationP95Ms === null ? '–' : formatDuration(row.durationP95Ms)),
    ...[row.inputTokens, row.outputTokens, row.cacheReadTokens, row.cacheWriteTokens].map(tokens),
    plain(row.estimatedUsd === 0 ? '–' : formatCost(row.estimatedUsd)),
    plain(row.unknownCosts === 0 ? '–' : formatNumber(row.unknownCosts)),
  ];
  return (
    <tr>
      <th scope="row">
        {list !== undefined && row.key !== null ? (
          <a href={`/jobs?${new URLSearchParams({ [list]: row.key })}`}>{name}</a>
        ) : (
          name
        )}
      </th>
      <td class="number">{formatCost(row.costUsd)}</td>
      <td class="share">
        {share !== null && <span class="share-bar" style={{ width: `${share * 100}%` }} />}
      </td>
      {cells.map(({ text, whole }, index) => (
        <td key={index} class="number" title={whole}>
          {text}
        </td>
      ))}
    </tr>
  );
}
