/**
 * Many prompts in one call. Each is taken or refused by itself; the work goes in slices, so that neither the event
 * loop nor Redis is held up by a batch. How its jobs stand is read from their own records.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { maySee, type Principal } from '../auth/principal.ts';
import { AppError, toWire } from '../errors.ts';
import type { Batches } from '../http/ports.ts';
import { type Batch, type BatchCreated, batchLinks } from '../protocol/batch.ts';
import { isFinished, JOB_STATUSES, type JobStatus } from '../protocol/job.ts';
import type { PromptRequest, ResolvedPrompt } from '../protocol/prompt.ts';
import type { PromptQueue } from '../queue/prompt-queue.ts';
import type {
  BatchEntry,
  BatchRecords,
  NewBatch,
  OpenBatchResult,
  RefusedPrompt,
} from '../records/batch-ports.ts';
import type { JobRecords, NewJob } from '../records/ports.ts';
import type { Projector } from '../store/projector.ts';
import type { Store } from '../store/store.ts';
import { CANCELLED } from './cancelled.ts';
import { keyReused, scopedKey } from './scoped-key.ts';
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
  async function addAll(batchId: string, first: number, jobs: readonly NewJob[]): Promise<void> {
    let from = first;
    const underway: Promise<unknown>[] = [];
    for (const slice of slices(jobs)) {
      const added = batches.add(batchId, from, slice);
      const entries = slice.map(({ id, request }) => ({ id, ...request }));
      const both = Promise.all([added, queue.addAll(entries)]);
      both.catch(() => undefined); // told by the first that fails; those after it only follow
      underway.push(both);
      from += slice.length;
      // The first one alone: a Redis that has to be given the script first must not see the second before it.
      if (from <= first + SLICE || underway.length >= SLICES_AT_ONCE) await underway.shift();
      else await nextTurn();
    }
    await Promise.all(underway);
  }

  /** Completes a batch that exists: its first maker may have died half way. */
  async function complete(
    principal: Principal,
    items: readonly (PromptRequest | AppError)[],
    opened: Exclude<OpenBatchResult, { kind: 'created' }>,
  ): ReturnType<Batches['create']> {
    if (opened.kind === 'mismatch') throw keyReused();
    const { id, entries, added } = opened;
    const missing = accepted(entries).slice(added);
    const asked = missing.flatMap(({ index }) => items[index] ?? []);
    const taken = await takeAll(principal, asked);
    // It was accepted, and cannot be made any more: the caller hears why.
    for (const one of taken) if (one instanceof AppError) throw one;
    await addAll(
      id,
      added,
      members({ id, owner: principal.id, createdAt: mint().createdAt }, missing, taken),
    );
    return { batch: toCreated(id, entries), replayed: true };
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
      const key = scopedKey(principal, idempotency);
      // First of all: a key that is known has an answer, whatever has become of the world since.
      const known = key === null ? null : await batches.recall(key);
      if (known !== null) return complete(principal, items, known);
      options.admit(items.length);
      const taken = await takeAll(principal, items);
      const { id, createdAt } = mint();
      const entries = taken.map(
        (one): BatchEntry => (one instanceof AppError ? refused(one) : { id: mint().id }),
      );
      const opened = await batches.open({ id, owner: principal.id, createdAt, entries, idempotency: key });
      // Another call with this key has been faster.
      if (opened.kind !== 'created') return complete(principal, items, opened);
      await addAll(id, 0, members({ id, owner: principal.id, createdAt }, accepted(entries), taken));
      return { batch: toCreated(id, entries), replayed: false };
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

const wasTaken = (one: Taken | AppError): one is Taken => !(one instanceof AppError);

interface Accepted {
  readonly id: string;
  readonly index: number;
}

/** Those of the entries that are jobs. */
const accepted = (entries: readonly BatchEntry[]): Accepted[] =>
  entries.flatMap((entry, index) => ('id' in entry ? [{ id: entry.id, index }] : []));

/** What is taken, in order, as jobs of a batch. */
function members(
  batch: Pick<NewBatch, 'id' | 'owner' | 'createdAt'>,
  jobs: readonly Accepted[],
  taken: readonly (Taken | AppError)[],
): NewJob[] {
  const { id, owner, createdAt } = batch;
  return taken.filter(wasTaken).flatMap((one, index): NewJob[] => {
    const job = jobs[index];
    if (job === undefined) return [];
    return [
      { id: job.id, kind: 'api', owner, batch: id, createdAt, ...one, retryOf: null, idempotency: null },
    ];
  });
}

const toCreated = (id: string, entries: readonly BatchEntry[]): BatchCreated => ({
  id,
  items: entries.map((entry, index) => ({ index, ...entry })),
  links: batchLinks(id),
});

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
