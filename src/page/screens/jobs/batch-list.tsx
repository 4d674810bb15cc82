/** Batches, the newest one first, with how far each is. */
import { useState } from 'preact/hooks';
import { formatCost, formatMany, formatNumber, shortId } from '../../format.ts';
import { useLoad } from '../../load.ts';
import { client } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { Ago } from '../../ui/time.tsx';
import { countsText, Progress } from './progress.tsx';
import './jobs.css';

const PAGE = 50;

export function BatchList() {
  const [pages, setPages] = useState(1);
  const batches = useLoad(
    (signal) => readPages(pages, signal),
    [pages],
    (change) => change.kind === 'snapshot' || ('rev' in change && change.batchId !== null),
  );
  if (batches.data === null)
    return batches.error === null ? (
      <Loading lines={8} />
    ) : (
      <Failure error={batches.error} retry={batches.reload} />
    );
  if (batches.data.rows.length === 0)
    return (
      <Empty title="No batches yet">
        <p>
          Several prompts that are sent together are a batch: its jobs are counted and can be retried
          together.
        </p>
      </Empty>
    );
  return (
    <div class="stack">
      <ul class="card batches" aria-label="Batches">
        {batches.data.rows.map(({ id, counts, total, refused, costUsd, createdAt, finished }) => (
          <li key={id}>
            <a href={`/batches/${id}`} class="name">
              Batch <span class="mono">{shortId(id)}</span>
            </a>
            <span class="bar">
              <Progress counts={counts} total={total} />
              <span class="soft clip">
                {finished ? '' : 'in progress: '}
                {countsText(counts) || 'no jobs'}
                {refused > 0 && `, ${formatNumber(refused)} refused`}
              </span>
            </span>
            <span class="jobs-of number soft">{formatMany(total, 'job')}</span>
            <span class="cost number soft">{formatCost(costUsd)}</span>
            <span class="made number soft">
              <Ago at={createdAt} />
            </span>
          </li>
        ))}
      </ul>
      {batches.data.more && (
        <div>
          <Button onPress={() => setPages(pages + 1)}>Show more</Button>
        </div>
      )}
    </div>
  );
}

async function readPages(pages: number, signal: AbortSignal) {
  const rows = [];
  let cursor: string | null = null;
  for (let page = 0; page < pages; page += 1) {
    const answer = await client.listBatches(
      { limit: PAGE, ...(cursor === null ? {} : { cursor }) },
      { signal },
    );
    rows.push(...answer.data);
    cursor = answer.nextCursor;
    if (cursor === null) break;
  }
  return { rows, more: cursor !== null };
}
