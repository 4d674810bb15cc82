/** The executions of a job, and when it waited and ran. */
import type { Job } from '../../../protocol/job.ts';
import type { Execution } from '../../../protocol/outcome.ts';
import { formatCost, formatDuration, formatNumber, formatShortTime, formatTime } from '../../format.ts';
import { useLoad, useNow } from '../../load.ts';
import { client } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import type { Transcript } from '../../transcript/transcript.ts';
import { errorWords } from '../../ui/error-words.ts';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { JobStatusBadge } from '../../ui/status.tsx';
import { type Span, timelineOf } from './timeline.ts';

interface ExecutionsProps {
  readonly job: Job;
  readonly transcript: Transcript;
}

export function Executions({ job, transcript }: ExecutionsProps) {
  const { data, error, reload } = useLoad(
    (signal) => client.executions(job.id, { signal }),
    [job.id, job.status],
    (change) => change.kind === 'snapshot' || ('jobId' in change && change.jobId === job.id),
  );
  const now = useNow(job.finished ? 3_600_000 : 1000);
  if (data === null) return error === null ? <Loading /> : <Failure error={error} retry={reload} />;
  const spans = timelineOf(job, transcript.phases, data, now);
  if (spans.length === 0 && data.length === 0)
    return (
      <Empty title="It has not run yet">
        <p>Its executions and its waits appear here.</p>
      </Empty>
    );
  return (
    <div class="stack">
      <Timeline spans={spans} />
      {data.length > 0 && <Table executions={data} starts={transcript.starts} now={now} />}
    </div>
  );
}

function Timeline({ spans }: { readonly spans: readonly Span[] }) {
  const begin = spans[0]?.fromMs ?? 0;
  const whole = Math.max(1, (spans.at(-1)?.toMs ?? 0) - begin);
  const percent = (ms: number): string => `${(ms / whole) * 100}%`;
  return (
    <section class="card timeline" aria-labelledby="timeline">
      <header>
        <h2 id="timeline">Timeline</h2>
        <span class="soft number spread">{formatDuration(whole)} in all</span>
      </header>
      <ol class="inside">
        {spans.map(({ kind, label, fromMs, toMs, status }, index) => (
          <li key={index}>
            <span class="what">{label}</span>
            <span class="when number soft" title={formatTime(fromMs)}>
              {formatShortTime(fromMs)}
            </span>
            <span class="track" aria-hidden="true">
              <span
                class={`bar ${kind} ${status ?? ''}`}
                style={{ left: percent(fromMs - begin), width: percent(toMs - fromMs) }}
              />
            </span>
            <span class="long number">{formatDuration(toMs - fromMs)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

interface TableProps {
  readonly executions: readonly Execution[];
  readonly starts: Transcript['starts'];
  readonly now: number;
}

function Table({ executions, starts, now }: TableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="card scroll-x" aria-label="Executions" tabIndex={0}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col" class="number">
              Attempt
            </th>
            <th scope="col">Status</th>
            <th scope="col">Provider</th>
            <th scope="col">Start</th>
            <th scope="col">Exit</th>
            <th scope="col" class="number">
              Duration
            </th>
            <th scope="col" class="number">
              Tokens
            </th>
            <th scope="col" class="number">
              Cost
            </th>
            <th scope="col">Node</th>
          </tr>
        </thead>
        <tbody>
          {executions.map((one) => (
            <tr key={one.id}>
              <td class="number">{formatNumber(one.attempt)}</td>
              <td>
                <JobStatusBadge status={one.status} />
                {one.outcome?.error != null && (
                  <p class="soft" title={one.outcome.error.message}>
                    {errorWords(one.outcome.error.code)}
                  </p>
                )}
              </td>
              <td>
                {visibleText(one.provider ?? '–')}
                {one.credential !== null && <p class="soft">{visibleText(one.credential)}</p>}
              </td>
              <td>{startOf(one, starts)}</td>
              <td class="mono">{exitOf(one)}</td>
              <td class="number">{durationOf(one, now)}</td>
              <td class="number">{one.usage === null ? '–' : formatNumber(tokensOf(one.usage))}</td>
              <td class="number">{one.usage === null ? '–' : formatCost(one.usage.costUsd)}</td>
              <td class="mono soft" title={one.node}>
                …{one.node.slice(-6)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const STARTS = { cold: 'new process', warm: 'ready process', session: 'its session’s process' } as const;

/** With the cache, as in the facts of the job. */
const tokensOf = (usage: NonNullable<Execution['usage']>): number =>
  usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens + usage.outputTokens;

function startOf({ id, startedAt }: Execution, starts: Transcript['starts']) {
  if (startedAt === null) return 'not started';
  const start = starts.get(id);
  return (
    <>
      <span title={formatTime(startedAt)}>{formatShortTime(startedAt)}</span>
      {start !== undefined && <p class="soft">{STARTS[start]}</p>}
    </>
  );
}

function exitOf({ outcome }: Execution): string {
  const exit = outcome?.exit ?? null;
  return exit === null ? '–' : (exit.signal ?? String(exit.code ?? '–'));
}

function durationOf({ startedAt, endedAt, outcome }: Execution, now: number): string {
  if (outcome?.durationMs != null) return formatDuration(outcome.durationMs);
  if (startedAt === null) return '–';
  const end = endedAt === null ? Math.floor(now / 1000) * 1000 : Date.parse(endedAt);
  return formatDuration(Math.max(0, end - Date.parse(startedAt)));
}
