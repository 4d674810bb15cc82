/**
 * Reads batches. Counts come from the records of the jobs; what Redis has forgotten, cost and times
 * come from this node's copies.
 */
import { maySee, type Principal, projectOf } from '../auth/principal.ts';
import { AppError, toWire } from '../errors.ts';
import type { Batches } from '../http/ports.ts';
import {
  type Batch,
  type BatchResult,
  batchLinks,
  isFinished,
  JOB_STATUSES,
  type JobStatus,
} from '../protocol/job.ts';
import type { BatchEntry, BatchRecords } from '../records/batch-ports.ts';
import type { JobRecords } from '../records/ports.ts';
import type { Copier } from '../store/copier.ts';
import type { Store } from '../store/store.ts';
import type { ReadClosedGates } from './job-document.ts';

/** Outcomes read at once. Each may have a megabyte. */
const RESULTS_AT_ONCE = 10;

interface Member {
  readonly id: string;
  readonly status: JobStatus;
  readonly project: string;
}
/** A batch and those of its jobs that the caller may see: an admin may mix projects in one. */
export interface FoundBatch extends Pick<Batch, 'id' | 'createdAt' | 'refused'> {
  readonly jobs: readonly Member[];
}

export interface BatchReader extends Pick<Batches, 'list' | 'results'> {
  /** @throws AppError batch.not_found, including for the batch of another project */
  find(principal: Principal, id: string): Promise<FoundBatch>;
  show(principal: Principal, found: FoundBatch): Promise<Batch>;
}

export interface BatchReaderOptions {
  readonly records: Pick<JobRecords, 'readMany'>;
  readonly batchRecords: Pick<BatchRecords, 'read' | 'opened'>;
  readonly store: Store;
  readonly copier: Pick<Copier, 'catchUp' | 'catchUpSoon'>;
  readonly closedGates: ReadClosedGates;
}

export function createBatchReader(options: BatchReaderOptions): BatchReader {
  const { records, batchRecords, store, copier, closedGates } = options;

  /** Reads the batch from its record. What Redis has forgotten comes from this node's copies. */
  async function find(principal: Principal, id: string): Promise<FoundBatch> {
    const record = await batchRecords.read(id);
    const whole = record?.jobs.every(({ status }) => status !== null) ?? false;
    if (!whole) await copier.catchUp();
    const copy = whole ? null : await store.run('batches.get', { id, project: projectOf(principal) });
    const found = record ?? copy;
    if (found === null || !maySee(principal, found.project)) {
      throw new AppError('batch.not_found', `there is no batch ${id}`);
    }
    const createdAt = new Date(found.createdAt).toISOString();
    const copies = whole ? [] : await store.run('jobs.ofBatch', { batch: id });
    const copied = new Map(copies.map((job) => [job.id, job]));
    const members =
      record?.jobs.flatMap(({ id, status, project }): Member[] => {
        const known = status === null || project === null ? copied.get(id) : { id, status, project };
        return known === undefined ? [] : [known];
      }) ?? copies;
    const jobs = members.filter(({ project }) => maySee(principal, project));
    return { id, createdAt, refused: found.refused, jobs };
  }

  /** Counts the jobs by their records; cost and times come from the copies. */
  async function show(principal: Principal, found: FoundBatch): Promise<Batch> {
    await copier.catchUpSoon();
    const gates = await closedGates();
    const project = projectOf(principal);
    const copy = await store.run('batches.get', { id: found.id, project, gates });
    const copied = gates === null ? [] : await store.run('jobs.ofBatch', { batch: found.id, gates });
    const gated = new Map(copied.map(({ id, status }) => [id, status]));
    const jobs = found.jobs.map(({ id, status }) => (status === 'queued' && gated.get(id)) || status);
    const count = (wanted: JobStatus): number => jobs.filter((status) => status === wanted).length;
    // as: one entry for each status
    const counts = Object.fromEntries(
      JOB_STATUSES.map((status) => [status, count(status)]),
    ) as Batch['counts'];
    const { costUsd = null, startedAt = null, finishedAt = null } = copy ?? {};
    return toBatch({ ...found, counts, costUsd, startedAt, finishedAt });
  }

  /** The lines of some items. Outcomes are large, so only these are in memory. */
  async function resultsOf(principal: Principal, slice: readonly Numbered[]): Promise<BatchResult[]> {
    const ids = slice.flatMap(({ entry }) => ('id' in entry ? [entry.id] : []));
    const { found } = await records.readMany(ids);
    const known = new Map(found.map((record) => [record.id, record]));
    return Promise.all(
      slice.map(async ({ index, entry }): Promise<BatchResult> => {
        const { customId = null } = entry;
        if ('error' in entry) return withoutJob({ index, customId, jobId: null }, entry.error);
        try {
          const job = known.get(entry.id) ?? (await store.run('jobs.get', { id: entry.id }));
          if (job === null) throw new AppError('job.not_found', 'the job was deleted');
          if (!maySee(principal, job.project)) {
            const unseen = new AppError('job.not_found', 'there is no such job');
            return withoutJob({ index, customId: null, jobId: null }, toWire(unseen));
          }
          const { status, outcome } = job;
          const error = outcome?.error ?? null;
          return { index, customId, jobId: entry.id, status, outcome, error: error && inShort(error) };
        } catch (error) {
          if (!(error instanceof AppError) || error.retryable) throw error;
          return withoutJob({ index, customId, jobId: entry.id }, toWire(error));
        }
      }),
    );
  }

  return {
    find,
    show,

    async list(principal, { limit, cursor }) {
      await copier.catchUpSoon();
      const { rows, nextCursor } = await store.run('batches.list', {
        ...{ project: projectOf(principal), limit, cursor },
        gates: await closedGates(),
      });
      return { data: rows.map(toBatch), nextCursor };
    },

    async results(principal, id) {
      await find(principal, id);
      const entries =
        (await batchRecords.opened(id))?.entries ?? (await store.run('batches.entries', { id }));
      const numbered = entries.map((entry, index) => ({ index, entry }));
      return (async function* () {
        for (const slice of slices(numbered, RESULTS_AT_ONCE)) yield await resultsOf(principal, slice);
      })();
    },
  };
}

/** Neighbours in a list, some at a time. */
export function* slices<T>(list: readonly T[], size: number): Generator<readonly T[]> {
  for (let from = 0; from < list.length; from += size) yield list.slice(from, from + size);
}

/** An item of a batch with its place. */
interface Numbered {
  readonly index: number;
  readonly entry: BatchEntry;
}

const inShort = ({ code, message, retryable }: NonNullable<BatchResult['error']>) => ({
  ...{ code, message, retryable },
});

const withoutJob = (
  place: Pick<BatchResult, 'index' | 'customId' | 'jobId'>,
  error: NonNullable<BatchResult['error']>,
): BatchResult => ({ ...place, status: null, outcome: null, error: inShort(error) });

type Counted = Omit<Batch, 'finished' | 'total' | 'links'>;

function toBatch({ id, createdAt, startedAt, finishedAt, refused, counts, costUsd }: Counted): Batch {
  const sum = (wanted: (status: JobStatus) => boolean): number =>
    JOB_STATUSES.filter(wanted).reduce((total, status) => total + counts[status], 0);
  const total = sum(() => true);
  const finished = sum(isFinished) === total;
  return {
    ...{ id, createdAt, startedAt, finishedAt: finished ? finishedAt : null },
    ...{ finished, refused, total, counts, costUsd },
    links: batchLinks(id),
  };
}
