/** What one can do with jobs, one by one or many. */
import { ApiError } from '../../../client/errors.ts';
import type { JobFilter, JobListItem } from '../../../protocol/job.ts';
import { formatNumber } from '../../format.ts';
import { go } from '../../router.ts';
import { client } from '../../server.ts';
import { act, done, failed } from '../../ui/toast.tsx';

type Ended = Pick<JobListItem, 'id'>;

/** Jobs whose cancellation was asked for here: the next press kills. */
const cancelled = new Set<string>();
export const wasCancelled = (id: string): boolean => cancelled.has(id);

export async function cancelJob(id: string): Promise<void> {
  const force = cancelled.has(id);
  const text = force ? 'Killed' : 'The job is being cancelled';
  if (await act(() => client.cancel(id, { force }), text)) cancelled.add(id);
}

export const retryJob = (job: Ended): Promise<boolean> =>
  act(() => client.retry(job.id, { from: 'start' }), 'Retried from the start');

export async function continueJob(job: Ended): Promise<boolean> {
  return act(() => client.retry(job.id, { from: 'session' }), 'It goes on in its session');
}

export const archiveJob = (id: string, archived: boolean): Promise<boolean> =>
  act(() => client.change(id, { archived }), archived ? 'Archived' : 'No longer archived');

export const removeJob = (id: string): Promise<boolean> => act(() => client.remove(id), 'Deleted');

/** Requests under way at once, where the API takes one job at a time. */
const AT_ONCE = 6;

/** Counts of what was done, and of what the server refused, by error code. */
export interface Tally {
  done: number;
  readonly left: Record<string, number>;
}

/** Does the same with each of many jobs. Stops at an error that is not about one job. */
export async function forEachJob(
  ids: Iterable<string>,
  what: (id: string) => Promise<unknown>,
  tally: Tally = { done: 0, left: {} },
): Promise<Tally> {
  const rest = ids[Symbol.iterator]();
  const work = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      try {
        await what(next.value);
        tally.done += 1;
      } catch (error) {
        const isOfOne = error instanceof ApiError && (error.status === 404 || error.status === 409);
        if (!isOfOne) throw error;
        tally.left[error.code] = (tally.left[error.code] ?? 0) + 1;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return tally;
}

/** `3 jobs archived; left alone: 2 job.not_found`. */
export function tallyText({ done: count, left }: Tally, what: string): string {
  const jobs = count === 1 ? '1 job' : `${formatNumber(count)} jobs`;
  const others = Object.entries(left).map(([code, n]) => `${formatNumber(n)} ${code}`);
  return `${jobs} ${what}${others.length === 0 ? '' : `; left alone: ${others.join(', ')}`}`;
}

/** Which jobs are meant: these, or all that a filter names. */
export type Chosen = ReadonlySet<string> | { readonly filter: JobFilter };

const isSet = (chosen: Chosen): chosen is ReadonlySet<string> => chosen instanceof Set;
const selectionOf = (filter: JobFilter) => ({ filter, all: Object.keys(filter).length === 0 });

/** Every job of a filter, page by page. */
async function* eachOf(filter: JobFilter): AsyncGenerator<readonly JobListItem[]> {
  let cursor: string | null = null;
  do {
    const page = await client.list({ ...filter, limit: 100, ...(cursor === null ? {} : { cursor }) });
    yield page.data;
    cursor = page.nextCursor;
  } while (cursor !== null);
}

async function report(work: () => Promise<string>): Promise<boolean> {
  try {
    done(await work());
    return true;
  } catch (error) {
    failed(error);
    return false;
  }
}

export const cancelMany = (chosen: Chosen): Promise<boolean> =>
  report(async () => {
    const tally: Tally = { done: 0, left: {} };
    if (isSet(chosen)) {
      await forEachJob(chosen, (id) => client.cancel(id), tally);
      return tallyText(tally, 'cancelled');
    }
    let [cursor, running]: [string | null, number] = [null, 0];
    do {
      const page = await client.cancelMany({
        ...selectionOf(chosen.filter),
        ...(cursor === null ? {} : { cursor }),
      });
      tally.done += page.cancelled;
      running += page.requested;
      addTo(tally.left, page.skipped);
      cursor = page.nextCursor;
    } while (cursor !== null);
    const stopped = running === 0 ? '' : `, ${formatNumber(running)} that run are being stopped`;
    return tallyText(tally, `cancelled${stopped}`);
  });

export const retryMany = (chosen: Chosen): Promise<boolean> =>
  report(async () => {
    const tally: Tally = { done: 0, left: {} };
    if (isSet(chosen)) {
      await forEachJob(chosen, (id) => client.retry(id), tally);
      return tallyText(tally, 'retried');
    }
    let cursor: string | null = null;
    const batches: string[] = [];
    do {
      const page = await client.retryMany({
        ...selectionOf(chosen.filter),
        ...(cursor === null ? {} : { cursor }),
      });
      tally.done += page.retried;
      addTo(tally.left, page.skipped);
      if (page.batchId !== null) batches.push(page.batchId);
      cursor = page.nextCursor;
    } while (cursor !== null);
    if (batches.length === 1) go(`/batches/${batches[0]}`);
    return tallyText(tally, 'retried');
  });

export const archiveMany = (chosen: Chosen): Promise<boolean> =>
  report(async () => {
    const tally: Tally = { done: 0, left: {} };
    const archive = (id: string) => client.change(id, { archived: true });
    if (isSet(chosen)) await forEachJob(chosen, archive, tally);
    else {
      for await (const page of eachOf({ ...chosen.filter, archived: false }))
        await forEachJob(
          page.map(({ id }) => id),
          archive,
          tally,
        );
    }
    return tallyText(tally, 'archived');
  });

/** Adds a tag to the tags that each job has. */
export const tagMany = (chosen: Chosen, tag: string): Promise<boolean> =>
  report(async () => {
    const tally: Tally = { done: 0, left: {} };
    const add = (id: string, tags: readonly string[]): Promise<unknown> =>
      tags.includes(tag) ? Promise.resolve() : client.change(id, { tags: [...tags, tag] });
    if (isSet(chosen)) await forEachJob(chosen, async (id) => add(id, (await client.get(id)).tags), tally);
    else {
      for await (const page of eachOf(chosen.filter)) {
        const tags = new Map(page.map((job) => [job.id, job.tags]));
        await forEachJob(tags.keys(), (id) => add(id, tags.get(id) ?? []), tally);
      }
    }
    return tallyText(tally, `tagged ${tag}`);
  });

function addTo(sums: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [code, count] of Object.entries(counts)) sums[code] = (sums[code] ?? 0) + count;
}
