/** A batch: how far it is, what it costs, and its jobs. */
import { useEffect, useState } from 'preact/hooks';
import type { Batch, BatchResult } from '../../../protocol/job.ts';
import { formatCost, formatDuration, formatMany, formatNumber, shortId } from '../../format.ts';
import { useLoad, useNow } from '../../load.ts';
import { client, may } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Failure, Loading } from '../../ui/states.tsx';
import { Ago } from '../../ui/time.tsx';
import { act } from '../../ui/toast.tsx';
import { retryMany } from './job-actions.ts';
import { FilteredJobs } from './jobs.tsx';
import { countsText, Progress } from './progress.tsx';
import './batch.css';

const SETTLE_MS = 3000;

export function BatchScreen({ id }: { readonly id: string }) {
  const batch = useLoad(
    (signal) => client.getBatch(id, { signal }),
    [id],
    (change) => change.kind === 'snapshot' || ('rev' in change && change.batchId === id),
  );
  const [asks, setAsks] = useState(false);
  const { data, reload } = batch;
  const ended = data === null ? null : data.total - openOf(data);
  // The cost and the times may be some seconds behind the counts.
  useEffect(() => {
    const timer = setTimeout(reload, SETTLE_MS);
    return () => clearTimeout(timer);
  }, [ended, reload]);
  return (
    <>
      <header class="head">
        <h1>
          Batch <span class="mono">{shortId(id)}</span>
        </h1>
        <div class="actions">
          {data !== null && may('jobs:write') && data.counts.failed > 0 && (
            <Button onPress={() => retryMany({ filter: { batch: id, status: ['failed'] } })}>
              Retry {formatNumber(data.counts.failed)} failed
            </Button>
          )}
          {data !== null && may('jobs:write') && !data.finished && (
            <Button look="danger" onPress={() => setAsks(true)}>
              Cancel …
            </Button>
          )}
          {data !== null && (
            <a class="button" href={data.links.results} download={`batch-${id}.ndjson`}>
              Results
            </a>
          )}
        </div>
      </header>
      {data === null ? (
        batch.error === null ? (
          <Loading lines={4} />
        ) : (
          <Failure error={batch.error} retry={batch.reload} />
        )
      ) : (
        <div class="stack">
          <Summary batch={data} />
          {data.refused > 0 && <Refused id={id} count={data.refused} />}
          <div>
            <FilteredJobs fixed={{ batch: id }} />
          </div>
        </div>
      )}
      {asks && data !== null && (
        <Dialog title="Cancel this batch?" onClose={() => setAsks(false)}>
          <p class="inside soft">
            {formatMany(openOf(data), 'job')} {openOf(data) === 1 ? 'has' : 'have'} not ended. What runs is
            stopped.
          </p>
          <footer>
            <Button onPress={() => setAsks(false)}>Not now</Button>
            <Button
              look="danger"
              onPress={async () => {
                await act(() => client.cancelBatch(id), 'The batch is being cancelled');
                setAsks(false);
                batch.reload();
              }}
            >
              Cancel jobs
            </Button>
          </footer>
        </Dialog>
      )}
    </>
  );
}

const openOf = ({ counts: { queued, scheduled, waiting, running } }: Batch): number =>
  queued + scheduled + waiting + running;

function Summary({ batch }: { readonly batch: Batch }) {
  const { counts, total, costUsd, createdAt } = batch;
  const ended = total - openOf(batch);
  return (
    <section class="card batch-summary" aria-label="Progress">
      <div class="far">
        <span class="number">
          <b>{formatNumber(ended)}</b> of {formatNumber(total)} ended
        </span>
        <Progress counts={counts} total={total} />
        <span class="soft">{countsText(counts) || 'no jobs'}</span>
      </div>
      <dl>
        <div>
          <dt>Cost</dt>
          <dd class="number">{formatCost(costUsd)}</dd>
        </div>
        <div>
          <dt>Duration</dt>
          <dd class="number">
            <Span batch={batch} />
          </dd>
        </div>
        <div>
          <dt>Created</dt>
          <dd>
            <Ago at={createdAt} />
          </dd>
        </div>
      </dl>
    </section>
  );
}

/** From the first start to the last end, or until now. */
function Span({ batch: { startedAt, finishedAt } }: { readonly batch: Batch }) {
  const now = useNow(1000);
  if (startedAt === null) return <>–</>;
  const end = finishedAt === null ? now : Date.parse(finishedAt);
  return <>{formatDuration(Math.max(0, Math.round((end - Date.parse(startedAt)) / 1000) * 1000))}</>;
}

/** Prompts that got no job. They are read from the results, until all are found. */
function Refused({ id, count }: { readonly id: string; readonly count: number }) {
  const refused = useLoad((signal) => readRefused(id, count, signal), [id, count]);
  return (
    <section class="card refused" aria-label="Refused prompts">
      <header>
        <h2>
          Refused <span class="soft number">{formatNumber(count)}</span>
        </h2>
      </header>
      {refused.data === null ? (
        <div class="inside">
          <Loading lines={2} />
        </div>
      ) : (
        <ul>
          {refused.data.map(({ index, customId, error }) => (
            <li key={index}>
              <span class="number">#{formatNumber(index + 1)}</span>
              {customId !== null && <bdi class="tag">{customId}</bdi>}
              <code>{error?.code}</code>
              <span class="soft">{visibleText(error?.message ?? '')}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** More are not listed; the results have them. */
const MAX_REFUSED = 50;

async function readRefused(id: string, count: number, signal: AbortSignal): Promise<readonly BatchResult[]> {
  const found: BatchResult[] = [];
  for await (const result of client.batchResults(id, { signal })) {
    if (result.jobId === null) found.push(result);
    if (found.length >= Math.min(count, MAX_REFUSED)) break;
  }
  return found;
}
