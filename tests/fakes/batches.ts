import { ulid } from 'ulid';
import { maySee, type Principal } from '../../src/auth/principal.ts';
import { AppError } from '../../src/errors.ts';
import type { Batches, BatchItem, Idempotency } from '../../src/http/ports.ts';
import { type Batch, type BatchCreated, type BatchResult, batchLinks } from '../../src/protocol/job.ts';

interface Held {
  readonly owner: string;
  batch: Batch;
}

const COUNTS = { queued: 0, scheduled: 0, waiting: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 };

/** The Batches port in memory. Nothing runs by itself. */
export class FakeBatches implements Batches {
  readonly calls: (readonly BatchItem[])[] = [];
  readonly forced: boolean[] = [];
  /** What every batch has come to. */
  resultPages: (readonly BatchResult[])[] = [];
  /** Thrown by the next call, once. */
  failNext: AppError | null = null;
  readonly #held = new Map<string, Held>();
  readonly #keys = new Map<string, { readonly fingerprint: string; readonly batch: BatchCreated }>();

  async create(principal: Principal, items: readonly BatchItem[], idempotency: Idempotency | null) {
    this.#fail();
    const name = `${principal.id} ${idempotency?.key}`;
    const before = idempotency === null ? undefined : this.#keys.get(name);
    if (before !== undefined && before.fingerprint !== idempotency?.fingerprint) {
      throw new AppError('idempotency.key_reused', 'the key was used with another request');
    }
    if (before !== undefined) return { batch: before.batch, replayed: true };
    this.calls.push(items);
    const id = ulid();
    const answers: BatchCreated['items'] = items.map(({ customId, prompt }, index) => {
      if (!(prompt instanceof AppError)) return { index, customId, id: ulid() };
      const { code, message, retryable, problems } = prompt;
      return { index, customId, error: { code, message, retryable, errors: [...problems] } };
    });
    const batch = { id, items: answers, links: batchLinks(id) };
    const total = answers.filter((answer) => 'id' in answer).length;
    this.#held.set(id, {
      owner: principal.project,
      batch: {
        ...{ id, createdAt: new Date().toISOString(), finished: total === 0, total, costUsd: null },
        ...{ startedAt: null, finishedAt: null, refused: answers.length - total },
        counts: { ...COUNTS, queued: total },
        links: batchLinks(id),
      },
    });
    if (idempotency !== null) this.#keys.set(name, { fingerprint: idempotency.fingerprint, batch });
    return { batch, replayed: false };
  }

  async get(principal: Principal, id: string): Promise<Batch> {
    this.#fail();
    return this.#find(principal, id).batch;
  }

  async list(principal: Principal, { limit, cursor }: { limit: number; cursor: string | null }) {
    this.#fail();
    const visible = [...this.#held.values()].filter(({ owner }) => maySee(principal, owner)).reverse();
    const from = Number(cursor ?? 0);
    const data = visible.slice(from, from + limit).map(({ batch }) => batch);
    return { data, nextCursor: from + limit < visible.length ? String(from + limit) : null };
  }

  async results(principal: Principal, id: string): Promise<AsyncIterable<readonly BatchResult[]>> {
    this.#fail();
    this.#find(principal, id);
    const pages = this.resultPages;
    return (async function* () {
      yield* pages;
    })();
  }

  async cancel(principal: Principal, id: string, force: boolean) {
    this.#fail();
    const held = this.#find(principal, id);
    this.forced.push(force);
    const alreadyOver = held.batch.finished;
    const counts = { ...COUNTS, cancelled: held.batch.total };
    held.batch = { ...held.batch, finished: true, counts };
    return { batch: held.batch, alreadyOver };
  }

  #find(principal: Principal, id: string): Held {
    const held = this.#held.get(id);
    if (held !== undefined && maySee(principal, held.owner)) return held;
    throw new AppError('batch.not_found', 'there is no batch with this id');
  }

  #fail(): void {
    const error = this.failNext;
    this.failNext = null;
    if (error !== null) throw error;
  }
}
