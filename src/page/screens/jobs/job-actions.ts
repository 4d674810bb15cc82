/** What one can do with jobs, one by one or many. */

import type { JobSelection } from '../../../client/answers.ts';
import { ApiError } from '../../../client/errors.ts';
import type { Job, JobFilter, JobListItem } from '../../../protocol/job.ts';
import { formatMany, formatNumber } from '../../format.ts';
import { go } from '../../router.ts';
import { client } from '../../server.ts';
import { messageOf } from '../../ui/states.tsx';
import { act, done, failed, working } from '../../ui/toast.tsx';
import { createSend } from '../../ui/unanswered.ts';

type Ended = Pick<JobListItem, 'id'>;

/** Jobs whose cancellation was asked for here: the next press kills. */
const cancelled = new Set<string>();
export const wasCancelled = (id: string): boolean => cancelled.has(id);

export async function cancelJob(id: string): Promise<void> {
  const force = cancelled.has(id);
  const text = force ? 'Killed' : 'The job is being cancelled';
  if (await act(() => client.cancel(id, { force }), text)) cancelled.add(id);
}

const sendOnce = createSend();

/**
 * Makes the job again, once, however often one tries until the server answers. Without `from` it
 * goes on in its session, where it has begun one.
 */
export const retryOnce = (id: string, from?: 'start' | 'session'): Promise<Job> =>
  sendOnce([id, from], (options) => client.retry(id, from === undefined ? {} : { from }, options));

export const retryJob = (job: Ended): Promise<boolean> =>
  act(() => retryOnce(job.id, 'start'), 'Retried from the start');

export const continueJob = (job: Ended): Promise<boolean> =>
  act(() => retryOnce(job.id, 'session'), 'It goes on in its session');

export const archiveJob = (id: string, archived: boolean): Promise<boolean> =>
  act(() => client.change(id, { archived }), archived ? 'Archived' : 'No longer archived');

export const removeJob = (id: string): Promise<boolean> => act(() => client.remove(id), 'Deleted');

/** Requests under way at once, where the API takes one job at a time. */
const AT_ONCE = 6;
/** So many jobs are changed one by one before one is asked again. */
const MOST = 10_000;
/** A job has no more tags. */
const MAX_TAGS = 32;

/** Counts of what was done, and of what the server refused, by error code. */
export interface Tally {
  done: number;
  readonly left: Record<string, number>;
}

const REASONS: Readonly<Record<string, string>> = {
  'job.not_found': 'no longer there',
  'job.already_finished': 'had ended',
  'job.not_finished': 'had not ended',
  'job.already_retried': 'had a retry',
};

/** `3 jobs archived; left alone: 2 no longer there`. */
export function tallyText({ done: count, left }: Tally, what: string): string {
  const others = Object.entries(left).map(([code, n]) => `${formatNumber(n)} ${REASONS[code] ?? code}`);
  return `${formatMany(count, 'job')} ${what}${others.length === 0 ? '' : `; left alone: ${others.join(', ')}`}`;
}

/** Which jobs are meant: these, or all that a filter names. */
export type Chosen = ReadonlySet<string> | { readonly filter: JobFilter };

const isSet = (chosen: Chosen): chosen is ReadonlySet<string> => chosen instanceof Set;
const selectionOf = (filter: JobFilter) => ({ filter, all: Object.keys(filter).length === 0 });

/** One action on many jobs, while it is under way. */
interface Run {
  readonly tally: Tally;
  /** Aborted when the user stops it. */
  readonly signal: AbortSignal;
  /** The tally has changed. */
  counted(): void;
}

/**
 * Shows how far the work is, lets one stop it, and reports what was done, also when the work fails
 * on the way. Returns whether it was done to its end.
 * @param did what happened to a job: `archived`
 */
async function report(did: () => string, work: (run: Run) => Promise<void>): Promise<boolean> {
  const stop = new AbortController();
  const tally: Tally = { done: 0, left: {} };
  const text = (): string => tallyText(tally, did());
  const shown = working(`${text()} …`, () => stop.abort(STOPPED));
  try {
    await work({ tally, signal: stop.signal, counted: () => shown.update(`${text()} …`) });
    done(text());
    return true;
  } catch (error) {
    if (error === STOPPED) done(`${text()}; then you stopped it`);
    else if (tally.done === 0) failed(error);
    else failed(new Error(`${text()}; then it stopped: ${messageOf(error)}`));
    return false;
  } finally {
    shown.end();
  }
}
const STOPPED = new Error('stopped by the user');

/**
 * Does the same with each of many jobs. Stops at an error that is not about one job.
 * @param what resolves with a text where it left the job alone: why
 */
async function forEachJob(
  run: Run,
  ids: Iterable<string>,
  what: (id: string) => Promise<unknown>,
): Promise<void> {
  const { tally, signal } = run;
  const rest = ids[Symbol.iterator]();
  const failures: unknown[] = [];
  const leave = (why: string): void => {
    tally.left[why] = (tally.left[why] ?? 0) + 1;
  };
  const work = async (): Promise<void> => {
    while (failures.length === 0 && !signal.aborted) {
      const next = rest.next();
      if (next.done === true) return;
      try {
        const why = await what(next.value);
        if (typeof why === 'string') leave(why);
        else tally.done += 1;
      } catch (error) {
        const isOfOne = error instanceof ApiError && (error.status === 404 || error.status === 409);
        if (isOfOne) leave(error.code);
        else failures.push(error);
      }
      run.counted();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  signal.throwIfAborted();
  if (failures.length > 0) throw failures[0];
}

/** Every job of a filter, page by page. */
async function forEachOf(
  run: Run,
  filter: JobFilter,
  what: (job: JobListItem) => Promise<unknown>,
): Promise<void> {
  let seen = 0;
  let cursor: string | null = null;
  do {
    if (seen >= MOST) throw new Error(`${formatNumber(MOST)} at a time. Do it again for the rest.`);
    const page = await client.list({ ...filter, limit: 100, ...(cursor === null ? {} : { cursor }) });
    const jobs = new Map(page.data.map((job) => [job.id, job]));
    await forEachJob(run, jobs.keys(), async (id) => {
      const job = jobs.get(id);
      return job === undefined ? 'job.not_found' : what(job);
    });
    seen += jobs.size;
    cursor = page.nextCursor;
  } while (cursor !== null);
}

/** What the server does with one page of many jobs. */
interface ManyDone {
  readonly skipped: Readonly<Record<string, number>>;
  readonly nextCursor: string | null;
}

/** Asks for one page after the other; `ask` counts what was done. */
async function forEachPage(
  run: Run,
  filter: JobFilter,
  ask: (selection: JobSelection) => Promise<ManyDone>,
): Promise<void> {
  let cursor: string | null = null;
  do {
    run.signal.throwIfAborted();
    const page = await ask({ ...selectionOf(filter), ...(cursor === null ? {} : { cursor }) });
    for (const [code, count] of Object.entries(page.skipped))
      run.tally.left[code] = (run.tally.left[code] ?? 0) + count;
    run.counted();
    cursor = page.nextCursor;
  } while (cursor !== null);
}

export function cancelMany(chosen: Chosen): Promise<boolean> {
  let running = 0;
  const did = (): string =>
    running === 0 ? 'cancelled' : `cancelled, ${formatNumber(running)} that run are being stopped`;
  return report(did, async (run) => {
    if (isSet(chosen)) return forEachJob(run, chosen, (id) => client.cancel(id));
    await forEachPage(run, chosen.filter, async (selection) => {
      const page = await client.cancelMany(selection);
      run.tally.done += page.cancelled;
      running += page.requested;
      return page;
    });
  });
}

export function retryMany(chosen: Chosen): Promise<boolean> {
  const batches: string[] = [];
  return report(
    () => 'retried',
    async (run) => {
      if (isSet(chosen)) return forEachJob(run, chosen, (id) => retryOnce(id));
      await forEachPage(run, chosen.filter, async (selection) => {
        const page = await client.retryMany(selection);
        run.tally.done += page.retried;
        if (page.batchId !== null) batches.push(page.batchId);
        return page;
      });
      if (batches.length === 1) go(`/batches/${batches[0]}`);
    },
  );
}

export const archiveMany = (chosen: Chosen): Promise<boolean> =>
  report(
    () => 'archived',
    async (run) => {
      const archive = (id: string): Promise<unknown> => client.change(id, { archived: true });
      if (isSet(chosen)) return forEachJob(run, chosen, archive);
      await forEachOf(run, { ...chosen.filter, archived: false }, ({ id }) => archive(id));
    },
  );

/** Adds a tag to the tags that each job has. */
export const tagMany = (chosen: Chosen, tag: string): Promise<boolean> =>
  report(
    () => `tagged ${tag}`,
    async (run) => {
      const add = async ({ id, tags }: Pick<JobListItem, 'id' | 'tags'>): Promise<unknown> => {
        if (tags.includes(tag)) return;
        if (tags.length >= MAX_TAGS) return `have ${MAX_TAGS} tags`;
        return client.change(id, { tags: [...tags, tag] });
      };
      if (isSet(chosen)) return forEachJob(run, chosen, async (id) => add(await client.get(id)));
      await forEachOf(run, chosen.filter, add);
    },
  );
