/**
 * The durable record of a batch: who made it, what became of each of its prompts, and which jobs it has. How the
 * jobs stand is in their own records; nothing is counted twice, so nothing can be counted wrong. Two
 * implementations, Redis and memory, under the contract suite of `ports.ts`.
 */
import type { WireError } from '../errors.ts';
import type { JobStatus } from '../protocol/job.ts';
import type { IdempotencyKey, NewJob } from './ports.ts';

/** What became of one prompt: the id of its job, or why there is none. */
export type BatchEntry = { readonly id: string } | { readonly error: RefusedPrompt };

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
}

export type OpenBatchResult =
  | { readonly kind: 'created' }
  /** `added`: how many of its jobs are there; fewer than it has entries with an id when its making was cut short. */
  | {
      readonly kind: 'replayed';
      readonly id: string;
      readonly entries: readonly BatchEntry[];
      readonly added: number;
    }
  /** The idempotency key was used for another request. */
  | { readonly kind: 'mismatch' };

export interface BatchRecord {
  readonly id: string;
  readonly project: string;
  readonly principal: string;
  readonly createdAt: number;
  /** In order; `status` null: its record is no longer here. */
  readonly jobs: readonly { readonly id: string; readonly status: JobStatus | null }[];
}

export interface BatchRecords {
  /** Registers a batch, without its jobs. */
  open(batch: NewBatch): Promise<OpenBatchResult>;
  /** What `open` would find under the key; null: nothing. */
  recall(used: IdempotencyKey): Promise<Exclude<OpenBatchResult, { kind: 'created' }> | null>;
  /**
   * Adds jobs, of which the first is the batch's job number `from` (from 0). A job that was added before is never
   * made again, whatever has become of it since.
   * @throws AppError redis.unavailable when jobs before `from` are missing or the batch is not there
   */
  add(batchId: string, from: number, jobs: readonly NewJob[]): Promise<void>;
  /** The batch, for a day or as long as Redis keeps finished jobs, if that is longer; null after that. */
  read(id: string): Promise<BatchRecord | null>;
}
