/**
 * Many prompts in one call. Each prompt is accepted or refused on its own. The work is done in
 * slices, to block neither the event loop nor Redis. A batch's counts are read from the records of
 * its jobs.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { jobGrantOf } from '../auth/job-grant.ts';
import { actorOf, inProject, type Principal, scopedKey } from '../auth/principal.ts';
import { AppError, keyReused, toWire } from '../errors.ts';
import type { Batches, BatchItem } from '../http/ports.ts';
import type { NewId } from '../ids.ts';
import type { CallerLimiter } from '../limits/callers.ts';
import { type BatchCreated, batchLinks, isFinished } from '../protocol/job.ts';
import type { PromptQueue } from '../queue/prompt-queue.ts';
import type {
  BatchEntry,
  BatchRecords,
  NewBatch,
  OpenBatchResult,
  RefusedPrompt,
} from '../records/batch-ports.ts';
import type { JobRecords, NewJob } from '../records/ports.ts';
import { sessionOf } from '../records/record-codec.ts';
import { type BatchReader, slices } from './batch-reader.ts';
import { CANCELLED } from './job-service.ts';
import type { PromptResolver } from './resolve-prompt.ts';
import type { SessionPlacement } from './session-placement.ts';

/** Jobs in one script call; takes Redis about two milliseconds. */
const SLICE = 100;

export interface BatchServiceOptions {
  readonly records: Pick<JobRecords, 'cancel'>;
  readonly batchRecords: BatchRecords;
  readonly queue: Pick<PromptQueue, 'addAll' | 'remove'>;
  readonly reader: BatchReader;
  resolverFor(principal: Principal): PromptResolver;
  readonly placeSession: SessionPlacement;
  /** @throws AppError queue.full when the queue has no room for `count` more jobs */
  admit(count: number): void;
  readonly callers: Pick<CallerLimiter, 'refusal'>;
  newId(): NewId;
}

type Passed = Pick<NewJob, 'project' | 'request' | 'pin' | 'retryOf'>;
/** A prompt that passed all checks, or why it did not. */
type Checked = Passed | AppError;
export function createBatchService({
  records,
  batchRecords,
  queue,
  reader,
  resolverFor,
  placeSession,
  admit,
  callers,
  newId,
}: BatchServiceOptions): Batches {
  /** Checks each prompt, in order. An invalid prompt does not affect the others. */
  async function checkAll(principal: Principal, items: readonly BatchItem[]): Promise<Checked[]> {
    const resolve = resolverFor(principal);
    const checkOne = async ({
      customId,
      prompt,
      retryOf,
      continues,
      project: of,
    }: BatchItem): Promise<Checked> => {
      if (prompt instanceof AppError) return prompt;
      try {
        const resolved = await resolve(customId === null ? prompt : { ...prompt, customId });
        const request = continues === undefined ? resolved : { ...resolved, continues };
        const { project, node: pin } = await placeSession(inProject(principal, of), request);
        return { project, request, pin, retryOf: retryOf ?? null };
      } catch (error) {
        if (error instanceof AppError && error.status < 500) return error;
        throw error;
      }
    };
    const checked: Checked[] = [];
    for (const slice of slices(items, SLICE)) {
      checked.push(...(await Promise.all(slice.map(checkOne))));
      await nextTurn();
    }
    return checked;
  }

  /**
   * Adds jobs, of which the first is the batch's job number `first`. Redis gets the records and
   * BullMQ's entries of a slice together. A lost entry is added when a node is given its job.
   */
  async function addAll(batchId: string, first: number, jobs: readonly NewJob[]): Promise<void> {
    let from = first;
    for (const slice of slices(jobs, SLICE)) {
      const entries = slice.map(({ id, request: { delayMs } }) => ({ id, delayMs: delayMs || null }));
      await Promise.all([batchRecords.add(batchId, from, slice), queue.addAll(entries)]);
      from += slice.length;
    }
  }

  /** Adds the jobs that a known batch lacks: the server may have died while it added them. */
  async function complete(
    principal: Principal,
    items: readonly BatchItem[],
    opened: Exclude<OpenBatchResult, { kind: 'created' | 'limited' }>,
  ): ReturnType<Batches['create']> {
    if (opened.kind === 'mismatch') throw keyReused();
    const { id, entries, added } = opened;
    const missing = accepted(entries).slice(added);
    const checked = await checkAll(
      principal,
      missing.flatMap(({ index }) => items[index] ?? []),
    );
    // It was accepted before and is refused now: the caller gets the reason.
    for (const one of checked) if (one instanceof AppError) throw one;
    const { createdAt } = newId();
    await addAll(id, added, members({ id, createdAt, principal }, missing, checked));
    return { batch: toCreated(id, entries), replayed: true };
  }

  return {
    async create(principal, items, idempotency) {
      const key = scopedKey(principal, idempotency);
      // A known key has its answer before anything is checked: the checks may fail by now.
      const known = key === null ? null : await batchRecords.recall(key);
      if (known !== null) return complete(principal, items, known);
      admit(items.length);
      const checked = await checkAll(principal, items);
      const { id, createdAt } = newId();
      const entries = checked.map((one, index): BatchEntry => {
        const customId = items[index]?.customId ?? null;
        const result = one instanceof AppError ? refused(one) : { id: newId().id };
        return customId === null ? result : { ...result, customId };
      });
      const ids = accepted(entries);
      const project = projectOfAll(principal, checked);
      const opened = await batchRecords.open({
        ...{ id, project, principal: principal.id, createdAt },
        entries,
        idempotency: key,
        by: actorOf(principal),
      });
      if (opened.kind === 'limited') throw callers.refusal(opened, { id: principal.id, project }, ids.length);
      // Another call with this key was faster: return its batch.
      if (opened.kind !== 'created') return complete(principal, items, opened);
      await addAll(id, 0, members({ id, createdAt, principal }, ids, checked));
      const { rate = null } = opened;
      return { batch: toCreated(id, entries), replayed: false, rate };
    },

    async get(principal, id) {
      return reader.show(principal, await reader.find(principal, id));
    },

    list: reader.list,
    results: reader.results,

    async cancel(principal, id, force) {
      const unfinished = (await reader.find(principal, id)).jobs.filter(({ status }) => !isFinished(status));
      for (const slice of slices(unfinished, SLICE)) {
        const results = await Promise.all(
          slice.map((job) => records.cancel(job.id, force, CANCELLED, actorOf(principal))),
        );
        await Promise.all(
          slice.filter((_, index) => results[index]?.kind === 'cancelled').map((job) => queue.remove(job.id)),
        );
      }
      const batch = await reader.show(principal, await reader.find(principal, id));
      return { batch, alreadyOver: unfinished.length === 0 };
    },
  };
}

/** The project of a batch: that of its jobs, or the caller's when an admin mixes several. */
function projectOfAll(principal: Principal, checked: readonly Checked[]): string {
  const projects = new Set(checked.flatMap((one) => (one instanceof AppError ? [] : one.project)));
  const [only = principal.project, ...others] = projects;
  return others.length > 0 ? principal.project : only;
}

interface Accepted {
  readonly id: string;
  readonly index: number;
}

/** The entries that are jobs. */
const accepted = (entries: readonly BatchEntry[]): Accepted[] =>
  entries.flatMap((entry, index) => ('id' in entry ? [{ id: entry.id, index }] : []));

/** The prompts that passed all checks as jobs of a batch, in order. */
function members(
  batch: Pick<NewBatch, 'id' | 'createdAt'> & { readonly principal: Principal },
  jobs: readonly Accepted[],
  checked: readonly Checked[],
): NewJob[] {
  const { id, principal, createdAt } = batch;
  const owner = { principal: principal.id, grant: jobGrantOf(principal) };
  const passed = checked.filter((one): one is Passed => !(one instanceof AppError));
  return passed.flatMap((one, index): NewJob[] => {
    const job = jobs[index];
    if (job === undefined) return [];
    return [
      {
        id: job.id,
        kind: 'api',
        ...owner,
        sessionId: sessionOf(job.id, one.request),
        batch: id,
        createdAt,
        ...one,
        idempotency: null,
      },
    ];
  });
}

const toCreated = (id: string, entries: readonly BatchEntry[]): BatchCreated => ({
  id,
  items: entries.map(({ customId = null, ...entry }, index) => ({ index, customId, ...entry })),
  links: batchLinks(id),
});

function refused(error: AppError): { readonly error: RefusedPrompt } {
  const { code, message, retryable } = toWire(error);
  return { error: { code, message, retryable, errors: [...error.problems] } };
}
