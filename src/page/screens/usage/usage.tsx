/** What the executions have used and cost. */
import { useEffect, useMemo } from 'preact/hooks';
import type { UsageReport } from '../../../client/answers.ts';
import type { UsageDimension, UsageRow } from '../../../protocol/usage.ts';
import { formatCost, formatCount, formatNumber } from '../../format.ts';
import { useLoad, useNow } from '../../load.ts';
import { go, type Route, useRoute, withQuery } from '../../router.ts';
import { client, onChange } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { download } from '../../ui/download.ts';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { Charts, formatPercent, inputOf } from './charts.tsx';
import { csvOf, jsonFileOf } from './export.ts';
import { RANGES, type Range, rangeOf } from './range.ts';
import { UsageTable } from './usage-table.tsx';
import './usage.css';

const DIMENSIONS: readonly { readonly by: UsageDimension; readonly title: string }[] = [
  { by: 'day', title: 'Day' },
  { by: 'provider', title: 'Provider' },
  { by: 'model', title: 'Model' },
  { by: 'project', title: 'Project' },
  { by: 'tag', title: 'Tag' },
  { by: 'caller', title: 'Caller' },
];

interface Reports {
  readonly total: UsageRow | null;
  readonly overTime: readonly UsageRow[];
  readonly report: UsageReport;
}

/** A crowd of jobs ends: the sums are read again at most once in this time. */
const REFRESH_MS = 5000;

export function UsageScreen() {
  const route = useRoute();
  const minute = Math.floor(useNow(60_000) / 60_000);
  const query = route.query.toString();
  const range = useMemo(() => rangeOf(new URLSearchParams(query), minute * 60_000), [query, minute]);
  const chosen = DIMENSIONS.find(({ by }) => by === route.query.get('by')) ?? DIMENSIONS[0];
  const by = chosen?.by === 'day' ? range.step : (chosen?.by ?? 'day');
  const { from, to, step } = range;
  const { data, error, reload } = useLoad(
    async (signal): Promise<Reports> => {
      const read = (dimension: UsageDimension) => client.usage({ by: dimension, from, to }, { signal });
      const [total, overTime, report] = await Promise.all([
        read('total'),
        read(step),
        by === step ? null : read(by),
      ]);
      return { total: total.data[0] ?? null, overTime: overTime.data, report: report ?? overTime };
    },
    [from, to, by, step],
  );
  useRefresh(reload);
  return (
    <>
      <header class="head">
        <h1>Usage</h1>
        <RangeChoice route={route} range={range} />
      </header>
      {data === null ? (
        error === null ? (
          <Loading lines={12} />
        ) : (
          <Failure error={error} retry={reload} />
        )
      ) : data.total === null ? (
        <Empty title="Nothing ended in this time">
          <p>Cost, tokens and durations of executions appear here when they have ended.</p>
        </Empty>
      ) : (
        <Body route={route} range={range} reports={data} total={data.total} />
      )}
    </>
  );
}

function useRefresh(reload: () => void): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = onChange(({ kind }) => {
      if (kind !== 'job.finished' && kind !== 'snapshot') return;
      timer ??= setTimeout(() => {
        timer = undefined;
        reload();
      }, REFRESH_MS);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [reload]);
}

function RangeChoice({ route, range }: { readonly route: Route; readonly range: Range }) {
  const isOwn = route.query.get('range') === 'own';
  const [from, to] = [range.from.slice(0, 10), new Date(Date.parse(range.to) - 1).toISOString().slice(0, 10)];
  const own = (changes: Record<string, string>): string =>
    withQuery(route, { range: 'own', from, to, ...changes });
  return (
    <nav class="row spread" aria-label="Time">
      <div class="segments">
        {RANGES.map(({ name, title }) => (
          <a
            key={name}
            href={withQuery(route, { range: name, from: null, to: null })}
            aria-current={!isOwn && range.name === name ? 'true' : undefined}
          >
            {title}
          </a>
        ))}
        <a href={own({})} aria-current={isOwn ? 'true' : undefined}>
          Custom
        </a>
      </div>
      {isOwn && (
        <div class="row dates">
          <input
            type="date"
            class="input"
            aria-label="First day"
            value={from}
            max={to}
            onChange={({ currentTarget }) => go(own({ from: currentTarget.value }), { replace: true })}
          />
          <input
            type="date"
            class="input"
            aria-label="Last day"
            value={to}
            min={from}
            onChange={({ currentTarget }) => go(own({ to: currentTarget.value }), { replace: true })}
          />
        </div>
      )}
    </nav>
  );
}

interface BodyProps {
  readonly route: Route;
  readonly range: Range;
  readonly reports: Reports;
  readonly total: UsageRow;
}

function Body({ route, range, reports, total }: BodyProps) {
  const { overTime, report } = reports;
  const { by } = report;
  const showsTable = route.query.get('view') === 'table';
  const name = `bullpen-usage-${by}-${range.from.slice(0, 10)}`;
  const stepTitle = range.step === 'hour' ? 'Usage by hour' : 'Usage by day';
  const overTimeTable = <UsageTable title={stepTitle} by={range.step} rows={overTime} total={total} />;
  return (
    <div class="stack">
      <Totals total={total} />
      <section class="stack" aria-labelledby="over-time">
        <div class="row">
          <h2 id="over-time">Over time</h2>
          <div class="segments spread">
            <a href={withQuery(route, { view: null })} aria-current={showsTable ? undefined : 'true'}>
              Charts
            </a>
            <a href={withQuery(route, { view: 'table' })} aria-current={showsTable ? 'true' : undefined}>
              Table
            </a>
          </div>
        </div>
        {showsTable ? overTimeTable : <Charts rows={overTime} total={total} range={range} />}
      </section>
      <section class="stack" aria-labelledby="breakdown">
        <div class="row">
          <h2 id="breakdown">Breakdown</h2>
          <div class="row spread">
            <Button small onPress={() => download(`${name}.csv`, 'text/csv', csvOf(report))}>
              Export CSV
            </Button>
            <Button small onPress={() => download(`${name}.json`, 'application/json', jsonFileOf(report))}>
              Export JSON
            </Button>
          </div>
        </div>
        <nav class="tabs" aria-label="Breakdown by">
          {DIMENSIONS.map(({ by: dimension, title }) => (
            <a
              key={dimension}
              href={withQuery(route, { by: dimension === 'day' ? null : dimension })}
              aria-current={dimension === by || (dimension === 'day' && by === 'hour') ? 'page' : undefined}
            >
              {dimension === 'day' && range.step === 'hour' ? 'Hour' : title}
            </a>
          ))}
        </nav>
        <UsageTable
          title={`Usage by ${by}`}
          by={by}
          rows={by === 'day' || by === 'hour' ? report.data.toReversed() : byCost(report.data)}
          total={by === 'tag' ? null : total}
        />
        {by === 'tag' && <p class="soft">An execution with two tags counts under both.</p>}
      </section>
    </div>
  );
}

const byCost = (rows: readonly UsageRow[]): readonly UsageRow[] =>
  rows.toSorted((a, b) => b.costUsd - a.costUsd || b.executions - a.executions);

function Totals({ total }: { readonly total: UsageRow }) {
  const facts = [
    { name: 'Cost', value: formatCost(total.costUsd) },
    { name: 'Executions', value: formatNumber(total.executions) },
    { name: 'Succeeded', value: formatPercent(total.successRate) },
    {
      name: 'Tokens in',
      value: formatCount(inputOf(total)),
      title: `${formatNumber(inputOf(total))}, with the cache`,
    },
    { name: 'Tokens out', value: formatCount(total.outputTokens), title: formatNumber(total.outputTokens) },
  ];
  return (
    <section class="card totals" aria-label="Totals">
      <dl>
        {facts.map(({ name, value, title }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class="number" title={title}>
              {value}
            </dd>
          </div>
        ))}
      </dl>
      <p class="soft basis">{basisOf(total)}</p>
    </section>
  );
}

/** Where the costs come from. */
function basisOf({ reportedUsd, estimatedUsd, unknownCosts }: UsageRow): string {
  const parts = [
    `${formatCost(reportedUsd)} as the CLIs reported it`,
    ...(estimatedUsd === 0 ? [] : [`${formatCost(estimatedUsd)} estimated from tokens by the price table`]),
  ];
  const unknown =
    unknownCosts === 0
      ? ''
      : ` The cost of ${formatNumber(unknownCosts)} ${unknownCosts === 1 ? 'execution' : 'executions'} is not known and is left out.`;
  return `Prices of the vendors' APIs, not what a subscription pays: ${parts.join(', and ')}.${unknown}`;
}
