/**
 * Cancels or retries every job that a filter names, a page at a time. A repeated call does no harm:
 * ended jobs are not cancelled, and a job is retried here only once.
 */
import { actorOf, type Principal, projectOf, scopedKey } from '../auth/principal.ts';
import { AppError, keyReused } from '../errors.ts';
import type { Batches, BatchItem, ManyJobs } from '../http/ports.ts';
import {
  isFinished,
  JOB_STATUSES,
  type JobFilter,
  type ManyCancelled,
  type ManyRetried,
} from '../protocol/job.ts';
import type { RetryFrom } from '../protocol/prompt.ts';
import type { Providers } from '../providers/registry.ts';
import type { PromptQueue } from '../queue/prompt-queue.ts';
import type { BatchRecords } from '../records/batch-ports.ts';
import type { JobRecords } from '../records/ports.ts';
import type { Copier } from '../store/copier.ts';
import type { JobCopy } from '../store/jobs.ts';
import { encodeCursor, type JobSummary } from '../store/list-jobs.ts';
import type { Store } from '../store/store.ts';
import { slices } from './batch-reader.ts';
import type { ReadClosedGates } from './job-document.ts';
import { CANCELLED } from './job-service.ts';
import { retryRequest } from './retry-request.ts';

/** Jobs of one call. */
const PAGE = 1000;
/** Scripts that Redis gets at once. */
const SLICE = 100;

export interface ManyJobsOptions {
  readonly records: Pick<JobRecords, 'cancel'>;
  readonly batchRecords: Pick<BatchRecords, 'recall'>;
  readonly batches: Pick<Batches, 'create'>;
  readonly queue: Pick<PromptQueue, 'remove'>;
  readonly providers: Pick<Providers, 'get'>;
  readonly store: Store;
  readonly copier: Pick<Copier, 'catchUp'>;
  readonly closedGates: ReadClosedGates;
  /** Prompts of one call, in characters: all of them are in memory. Default 16 Mi. */
  readonly maxChars?: number;
}

export function createManyJobs(options: ManyJobsOptions): ManyJobs {
  const { records, batchRecords, batches, queue, providers, store, copier, closedGates } = options;
  const { maxChars = 16 * 1024 * 1024 } = options;
  /** Retries run one after the other: the second one sees what the first one has retried. */
  let turn: Promise<unknown> = Promise.resolve();

  async function page(principal: Principal, filter: JobFilter, cursor: string | null) {
    await copier.catchUp();
    return store.run('jobs.list', {
      project: projectOf(principal),
      query: { ...filter, limit: PAGE, cursor },
      gates: await closedGates(),
    });
  }

  async function cancelOne(
    principal: Principal,
    id: string,
    force: boolean,
  ): Promise<'cancelled' | 'requested' | AppError> {
    try {
      const { kind } = await records.cancel(id, force, CANCELLED, actorOf(principal));
      if (kind === 'cancelled') await queue.remove(id);
      if (kind === 'cancelled' || kind === 'requested') return kind;
      return new AppError('job.already_finished', 'the job has ended');
    } catch (error) {
      if (error instanceof AppError && !error.retryable) return error;
      throw error;
    }
  }

  /** The retry of a job, or why it cannot be retried like that. */
  function retryOf(job: JobCopy, from: RetryFrom | null): BatchItem | AppError {
    try {
      const { request, ...more } = retryRequest(job, from === null ? {} : { from }, providers);
      const { customId = null, ...prompt } = request;
      return { customId, prompt, retryOf: job.id, ...more };
    } catch (error) {
      if (error instanceof AppError) return error;
      throw error;
    }
  }

  /** The jobs of a page to retry, oldest first. `last`: the last job that was looked at. */
  async function toRetry(rows: readonly JobSummary[], from: RetryFrom | null, skipped: Skipped) {
    const retried = new Set(await store.run('jobs.retried', { ids: rows.map(({ id }) => id) }));
    const items: BatchItem[] = [];
    let chars = 0;
    for (const { id, status } of rows) {
      const why = !isFinished(status) ? 'job.not_finished' : retried.has(id) ? 'job.already_retried' : null;
      const job = why === null ? await store.run('jobs.get', { id }) : null;
      if (job === null) {
        skipped.add(why ?? 'job.not_found');
        continue;
      }
      chars += job.request.prompt.length;
      if (chars > maxChars && items.length > 0) return { items: items.reverse(), stoppedAt: id };
      const item = retryOf(job, from);
      if (item instanceof AppError) skipped.add(item.code);
      else items.push(item);
    }
    return { items: items.reverse(), stoppedAt: null };
  }

  const retry: ManyJobs['retry'] = async (principal, { filter, cursor }, from, idempotency) => {
    const key = scopedKey(principal, idempotency);
    const known = key === null ? null : await batchRecords.recall(key);
    if (known?.kind === 'mismatch') throw keyReused();
    const { rows, nextCursor } = await page(principal, { status: ['failed'], ...filter }, cursor);
    const skipped = new Skipped();
    const { items, stoppedAt } = await toRetry(rows, from, skipped);
    const looked =
      stoppedAt === null
        ? rows
        : rows.slice(
            0,
            rows.findIndex(({ id }) => id === stoppedAt),
          );
    const last = looked.at(-1);
    const answer = {
      matched: looked.length,
      nextCursor: stoppedAt === null || last === undefined ? nextCursor : encodeCursor(last.id),
    };
    if (items.length === 0) {
      // Everything was retried before: by the first call with this key, if there was one.
      const batchId = known?.id ?? null;
      const retried = known?.entries.filter((entry) => 'id' in entry).length ?? 0;
      if (known !== null) skipped.add('job.already_retried', -retried);
      return { ...answer, batchId, retried, skipped: skipped.counts };
    }
    const { batch } = await batches.create(principal, items, known === null ? idempotency : null);
    let retried = 0;
    for (const item of batch.items) {
      if ('id' in item) retried += 1;
      else skipped.add(item.error.code);
    }
    return { ...answer, batchId: batch.id, retried, skipped: skipped.counts };
  };

  return {
    async cancel(principal, { filter, cursor }, force): Promise<ManyCancelled> {
      const unfinished = JOB_STATUSES.filter((status) => !isFinished(status));
      const { rows, nextCursor } = await page(principal, { status: unfinished, ...filter }, cursor);
      const skipped = new Skipped();
      const counts = { cancelled: 0, requested: 0 };
      for (const slice of slices(rows, SLICE)) {
        for (const result of await Promise.all(slice.map(({ id }) => cancelOne(principal, id, force)))) {
          if (result instanceof AppError) skipped.add(result.code);
          else counts[result] += 1;
        }
      }
      return { matched: rows.length, ...counts, skipped: skipped.counts, nextCursor };
    },

    retry(...args): Promise<ManyRetried> {
      const next = turn.then(() => retry(...args));
      turn = next.catch(() => undefined);
      return next;
    },
  };
}

/** Counts jobs by the error code that says why nothing was done. */
class Skipped {
  readonly #counts = new Map<string, number>();

  add(code: string, count = 1): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + count);
  }

  get counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].filter(([, count]) => count > 0));
  }
}
