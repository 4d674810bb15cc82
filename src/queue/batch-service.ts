/**
 * Many prompts in one call. Each is taken or refused by itself; the work goes in slices, so that neither the event
 * loop nor Redis is held up by a batch. How its jobs stand is read from their own records.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { maySee, type Principal } from '../auth/principal.ts';
import { AppError, toWire } from '../errors.ts';
import type { Batches } from '../http/ports.ts';
import { type Batch, batchLinks } from '../protocol/batch.ts';
import { isFinished, JOB_STATUSES, type JobStatus } from '../protocol/job.ts';
import type { PromptRequest, ResolvedPrompt } from '../protocol/prompt.ts';
import type { BatchEntry, BatchRecords, RefusedPrompt } from '../rpc/batch-ports.ts';
import type { JobRecords, NewJob } from '../rpc/ports.ts';
import type { Projector } from '../store/projector.ts';
import type { Store } from '../store/store.ts';
import { CANCELLED } from './cancelled.ts';
import type { PromptQueue } from './prompt-queue.ts';
import { scopedKey } from './scoped-key.ts';
import { createSessionPlacement } from './session-placement.ts';

/** Jobs in one script: some two milliseconds of Redis. */
const SLICE = 100;
/** Slices on their way at once: one is written while Redis works on the other. */
const SLICES_AT_ONCE = 2;

export interface BatchServiceOptions {
  readonly records: Pick<JobRecords, 'cancel'>;
  readonly batches: BatchRecords;
  readonly queue: Pick<PromptQueue, 'addAll' | 'remove'>;
  readonly store: Store;
  readonly projector: Pick<Projector, 'catchUp'>;
  /** Resolves the requests of one call. */
  resolverFor(principal: Principal): (request: PromptRequest) => Promise<ResolvedPrompt>;
  mint(): { readonly id: string; readonly createdAt: number };
  /** @throws AppError queue.full when so many more would be too many */
  admit(count: number): void;
}

type Taken = Pick<NewJob, 'request' | 'pin'>;
interface Member {
  readonly id: string;
  readonly status: JobStatus;
}
interface Found extends Pick<Batch, 'id' | 'createdAt'> {
  readonly owner: string;
  readonly jobs: readonly Member[];
}

export function createBatchService(options: BatchServiceOptions): Batches {
  const { records, batches, queue, store, projector, mint } = options;
  const placeSession = createSessionPlacement(store, projector);

  /** What each prompt becomes, in order. What is wrong with one harms no other. */
  async function takeAll(principal: Principal, items: readonly (PromptRequest | AppError)[]) {
    const resolve = options.resolverFor(principal);
    const takeOne = async (item: PromptRequest | AppError): Promise<Taken | AppError> => {
      if (item instanceof AppError) return item;
      try {
        const request = await resolve(item);
        return { request, pin: await placeSession(principal, request) };
      } catch (error) {
        if (error instanceof AppError && error.status < 500) return error;
        throw error;
      }
    };
    const taken: (Taken | AppError)[] = [];
    for (const slice of slices(items)) {
      taken.push(...(await Promise.all(slice.map(takeOne))));
      await nextTurn();
    }
    return taken;
  }

  /** The records and BullMQ's entries of each slice go out together; the records' own sweep delivers what gets lost. */
  async function addAll(batchId: string, jobs: readonly NewJob[]): Promise<void> {
    let from = 0;
    const underway: Promise<unknown>[] = [];
    for (const slice of slices(jobs)) {
      const added = batches.add(batchId, from, slice);
      const entries = slice.map(({ id, request }) => ({ id, ...request }));
      const both = Promise.all([added, queue.addAll(entries)]);
      both.catch(() => undefined); // told by the first that fails; those after it only follow
      underway.push(both);
      from += slice.length;
      // The first one alone: a Redis that has to be given the script first must not see the second before it.
      if (from <= SLICE || underway.length >= SLICES_AT_ONCE) await underway.shift();
      else await nextTurn();
    }
    await Promise.all(underway);
  }

  /** The batch, if this principal may see it: from its record, and for what is no longer there from this node's copy. */
  async function find(principal: Principal, id: string): Promise<Found> {
    const record = await batches.read(id);
    const whole = record?.jobs.every(({ status }) => status !== null) ?? false;
    if (!whole) await projector.catchUp();
    const copies = whole ? [] : await store.run('jobs.ofBatch', { batch: id });
    const [first] = copies;
    const owner = record?.owner ?? first?.owner;
    if (owner === undefined || !maySee(principal, owner)) {
      throw new AppError('batch.not_found', `there is no batch ${id}`);
    }
    const createdAt = record === null ? (first?.createdAt ?? '') : new Date(record.createdAt).toISOString();
    if (record === null) return { id, owner, createdAt, jobs: copies };
    const copied = new Map(copies.map((job) => [job.id, job.status]));
    const jobs = record.jobs.flatMap((job): Member[] => {
      const status = job.status ?? copied.get(job.id);
      return status === undefined ? [] : [{ id: job.id, status }];
    });
    return { id, owner, createdAt, jobs };
  }

  return {
    async create(principal, items, idempotency) {
      options.admit(items.length);
      const taken = await takeAll(principal, items);
      const { id: batchId, createdAt } = mint();
      const fresh = taken.map(
        (one): BatchEntry => (one instanceof AppError ? refused(one) : { id: mint().id }),
      );
      const key = scopedKey(principal, idempotency);
      const opened = await batches.open({
        id: batchId,
        owner: principal.id,
        createdAt,
        entries: fresh,
        idempotency: key,
      });
      if (opened.kind === 'mismatch') {
        throw new AppError('idempotency.key_reused', 'the Idempotency-Key was used with another request');
      }
      const { id, entries } = opened.kind === 'replayed' ? opened : { id: batchId, entries: fresh };
      const jobs: NewJob[] = [];
      for (const [index, entry] of entries.entries()) {
        const one = taken[index];
        if (!('id' in entry)) continue;
        // Taken when the call was made first, and not any more: what follows would stand in its place.
        if (one === undefined || one instanceof AppError) break;
        const made = { id: entry.id, kind: 'api', owner: principal.id, batch: id, createdAt } as const;
        jobs.push({ ...made, ...one, retryOf: null, idempotency: null });
      }
      // Whoever opened it may have died before all of it was there.
      if (opened.kind === 'created' || opened.added < jobs.length) await addAll(id, jobs);
      const answers = entries.map((entry, index) => ({ index, ...entry }));
      return {
        batch: { id, items: answers, links: batchLinks(id) },
        replayed: opened.kind === 'replayed',
      };
    },

    async get(principal, id) {
      return toBatch(await find(principal, id));
    },

    async cancel(principal, id, force) {
      const living = (await find(principal, id)).jobs.filter(({ status }) => !isFinished(status));
      for (const slice of slices(living)) {
        const results = await Promise.all(slice.map((job) => records.cancel(job.id, force, CANCELLED)));
        await Promise.all(
          slice.filter((_, index) => results[index]?.kind === 'cancelled').map((job) => queue.remove(job.id)),
        );
      }
      return { batch: toBatch(await find(principal, id)), alreadyOver: living.length === 0 };
    },
  };
}

function* slices<T>(list: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < list.length; from += SLICE) yield list.slice(from, from + SLICE);
}

function refused(error: AppError): { readonly error: RefusedPrompt } {
  const { code, message, retryable } = toWire(error);
  return { error: { code, message, retryable, errors: [...error.problems] } };
}

function toBatch({ id, createdAt, jobs }: Found): Batch {
  const count = (wanted: JobStatus): number => jobs.filter(({ status }) => status === wanted).length;
  return {
    id,
    createdAt,
    finished: jobs.every(({ status }) => isFinished(status)),
    total: jobs.length,
    // as: one entry for each status
    counts: Object.fromEntries(JOB_STATUSES.map((status) => [status, count(status)])) as Batch['counts'],
    links: batchLinks(id),
  };
}
