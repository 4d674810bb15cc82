/** The durable records of batches. */
import type { WireError } from '../errors.ts';
import type { Actor } from '../protocol/audit.ts';
import type { JobStatus } from '../protocol/job.ts';
import type { Limited, Made } from './limit-records.ts';
import type { IdempotencyKey, NewJob } from './ports.ts';

/** One prompt of a batch: the id of its job, or why it was refused. */
export type BatchEntry = { readonly customId?: string } & (
  | { readonly id: string }
  | { readonly error: RefusedPrompt }
);

export interface RefusedPrompt extends Pick<WireError, 'code' | 'message' | 'retryable'> {
  readonly errors: { readonly path: string; readonly message: string }[];
}

export interface NewBatch {
  readonly id: string;
  readonly project: string;
  readonly principal: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** One for each prompt, in order. */
  readonly entries: readonly BatchEntry[];
  readonly idempotency: IdempotencyKey | null;
  /** Who asked for it. Left out: the server itself, without an entry in the audit. */
  readonly by?: Actor;
}

export type OpenBatchResult =
  | Made
  | Limited
  /** `added`: the number of jobs that were made; its creation may have been cut short. */
  | {
      readonly kind: 'replayed';
      readonly id: string;
      readonly entries: readonly BatchEntry[];
      readonly added: number;
    }
  /** The idempotency key was used for another request. */
  | { readonly kind: 'mismatch' };

/** The status of its jobs is in their records alone, so no count can be wrong. */
export interface BatchRecord {
  readonly id: string;
  readonly project: string;
  readonly principal: string;
  readonly createdAt: number;
  readonly refused: number; // prompts that got no job
  /** In order; nulls: Redis no longer has the record. */
  readonly jobs: readonly {
    readonly id: string;
    readonly status: JobStatus | null;
    readonly project: string | null;
  }[];
}

export interface BatchRecords {
  /** Registers a batch without its jobs. */
  open(batch: NewBatch): Promise<OpenBatchResult>;
  /** What `open` would find under the key; null: nothing. */
  recall(used: IdempotencyKey): Promise<Exclude<OpenBatchResult, { kind: 'created' | 'limited' }> | null>;
  /**
   * Makes jobs of a batch. The first is its job number `from` (from 0). A job that was made before
   * is never made again, also when it was deleted.
   * @throws AppError redis.unavailable when the batch, or jobs before `from`, are missing
   */
  add(batchId: string, from: number, jobs: readonly NewJob[]): Promise<void>;
  /** The batch; null after a day, or after Redis forgot its finished jobs if that is later. */
  read(id: string): Promise<BatchRecord | null>;
  /** The batch as it was made; null when `read` returns null. */
  opened(id: string): Promise<Omit<NewBatch, 'idempotency' | 'by'> | null>;
}
