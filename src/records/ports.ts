/**
 * The durable records, as each side needs them.
 *
 * Every fact lives in a record; a doorbell only says "look now". Each change is one atomic step that also
 * appends to the job's events and to the log.
 */

import type { WireError } from '../errors.ts';
import type { SourcedEvent, StoredEvent } from '../protocol/event.ts';
import type { JobStatus } from '../protocol/job.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';

/** A job's record. Times are milliseconds since the epoch. */
export interface JobRecord {
  readonly id: string;
  /** Grows by one with each change; a copy is replaced only by a newer one. */
  readonly rev: number;
  readonly kind: 'api' | 'raw';
  /** Who owns it. */
  readonly project: string;
  /** Who made it. */
  readonly principal: string;
  /** The session it resumes; else the one it begins, whose id is the job's. */
  readonly sessionId: string;
  /** The batch it was made in. */
  readonly batch: string | null;
  readonly request: ResolvedPrompt;
  readonly retryOf: string | null;
  /** The only node that may run it, if pinned. */
  readonly pin: string | null;
  readonly status: JobStatus;
  readonly waitReason: string | null;
  readonly scheduledFor: number | null;
  /** How many executions it has had. */
  readonly attempt: number;
  /** How many of them failed or were lost: these count against its retries. */
  readonly failures: number;
  /** The current attempt's execution once it was submitted. */
  readonly executionId: string | null;
  readonly node: string | null;
  readonly cancel: 'none' | 'requested' | 'forced';
  readonly lastSeq: number;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly outcome: Outcome | null;
}

export interface NewJob {
  readonly id: string;
  readonly kind: 'api' | 'raw';
  readonly project: string;
  readonly principal: string;
  readonly sessionId: string;
  readonly request: ResolvedPrompt;
  readonly retryOf: string | null;
  readonly pin: string | null;
  /** The batch it is made in; left out: none. */
  readonly batch?: string | null;
  readonly createdAt: number;
  readonly idempotency: UsedKey | null;
}

export interface IdempotencyKey {
  readonly key: string;
  readonly fingerprint: string;
}

export interface UsedKey extends IdempotencyKey {
  /** The job that the key stood for and that is nowhere any more: a new one may take its place. */
  readonly deleted?: string;
}

export type CreateResult =
  | { readonly kind: 'created' }
  | { readonly kind: 'replayed'; readonly jobId: string }
  /** The idempotency key was used for another request. */
  | { readonly kind: 'mismatch' };

export type CancelResult =
  | { readonly kind: 'gone' }
  /** It had ended before. */
  | { readonly kind: 'finished'; readonly status: JobStatus }
  /** It had not been claimed: it has ended now. */
  | { readonly kind: 'cancelled' }
  /** It runs: the flag is set and the owner will see it. */
  | { readonly kind: 'requested' };

export interface ManyRecords {
  readonly found: readonly JobRecord[];
  /** `over`: it has ended, or is no record at all, so that nothing more comes of it. */
  readonly damaged: readonly { readonly id: string; readonly over: boolean }[];
}

/** For the HTTP side. */
export interface JobRecords {
  create(job: NewJob): Promise<CreateResult>;
  /** What `create` would find under the key; null: nothing. The job may be gone from the records. */
  recall(used: IdempotencyKey): Promise<Exclude<CreateResult, { kind: 'created' }> | null>;
  /** @throws AppError record.damaged */
  read(id: string): Promise<JobRecord | null>;
  /** Those of the records that are there, in one round trip; what cannot be read is told apart. */
  readMany(ids: readonly string[]): Promise<ManyRecords>;
  cancel(id: string, force: boolean, outcome: Outcome): Promise<CancelResult>;
  /** Removes a finished job, or one that is no record, and its events. False when it is not there or not finished. */
  remove(id: string): Promise<boolean>;
  /** Events with seq > after, in order, at most `limit`; fewer at the end alone. What cannot be read is passed over. */
  events(id: string, after: number, limit: number): Promise<readonly StoredEvent[]>;
}

export type SubmitResult =
  /** No such job: nothing to do. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'finished'; readonly status: JobStatus }
  /** Its time has not come. */
  | { readonly kind: 'early'; readonly dueInMs: number }
  /** Submitted, but another job holds its session or concurrency key; it runs by itself when that ends. */
  | { readonly kind: 'parked' }
  /** Pending or running now, by this call or an earlier one. */
  | { readonly kind: 'underway' };

/** For the sandboxed worker. */
export interface Submissions {
  /** Idempotent: whoever asks again attaches, and nobody pays twice. */
  submit(jobId: string, executionId: string): Promise<SubmitResult>;
}

/** An execution this node has claimed. */
export interface Claim {
  readonly jobId: string;
  readonly executionId: string;
  readonly attempt: number;
  readonly kind: 'api' | 'raw';
  readonly principal: string;
  readonly sessionId: string;
  readonly request: ResolvedPrompt;
}

export type LeaseState = 'held' | 'cancel' | 'cancel-force' | 'lost';

export interface Finish {
  readonly jobId: string;
  readonly executionId: string;
  readonly outcome: Outcome;
  /** The execution's events from index `from` on that may not have been appended yet. */
  readonly from: number;
  readonly tail: readonly TimedEvent[];
  /** Delay before the next attempt, should the outcome allow one; null: there is to be none. */
  readonly backoffMs: number | null;
  /** For a raw job: what to publish on the responses channel. */
  readonly rawAnswer: string | null;
}

export interface TimedEvent extends SourcedEvent {
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/**
 * What became of an append. `read`: somebody listens to the job's events; a hint, as a doorbell is. `fenced`: the
 * execution is no longer the job's current one, nothing was added.
 */
export type Appended = 'read' | 'unread' | 'fenced';

export type FinishResult = 'finished' | 'scheduled' | 'superseded';

/** For the executor. */
export interface Claims {
  /**
   * Claims up to `max` executions, best first. A claimed one is never handed out again.
   * @param room how many more of a provider may run, for those that have a limit; jobs of a full one are passed over
   */
  claim(max: number, room?: Readonly<Record<string, number>>): Promise<readonly Claim[]>;
  /** What `claim` would find next, best first, at most `max`; a hint that changes nothing. */
  peek(max: number): Promise<readonly ResolvedPrompt[]>;
  /** What this node owns according to the records, however it came to. */
  owned(): Promise<readonly Claim[]>;
  /** Renews leases and the heartbeat; one state per execution, in order. */
  renew(executions: readonly { jobId: string; executionId: string }[]): Promise<readonly LeaseState[]>;
  /**
   * Appends events, of which the first is the execution's event number `from`; repeating a call adds nothing
   * twice.
   */
  append(jobId: string, executionId: string, from: number, events: readonly TimedEvent[]): Promise<Appended>;
  finish(finish: Finish): Promise<FinishResult>;
  /** Makes a job of a raw request, pending at once. False when another node answers raw requests. */
  adopt(job: NewJob, executionId: string): Promise<boolean>;
}

export interface Counts {
  /** Submitted, not claimed, as far as this node may claim it. */
  readonly pending: number;
  /** Waiting for BullMQ to deliver them. */
  readonly awaiting: number;
  readonly running: number;
  readonly nodes: number;
}

/** For the sweeps that make lost doorbells and dead nodes cost no more than time. */
export interface Upkeep {
  /** Jobs BullMQ should have delivered by now and has not; each is looked at again in `againInMs`. */
  undelivered(againInMs: number, limit: number): Promise<readonly string[]>;
  /** BullMQ has these, as is now known: they are looked at again in `againInMs`. */
  held(ids: readonly string[], againInMs: number): Promise<void>;
  /** Ends what waited longer than its ttlMs; returns the ids. */
  expire(outcome: Outcome, limit: number): Promise<readonly string[]>;
  /** Ends as lost what nodes silent for `absentMs` were running, and as unavailable what only they may run. */
  settleLost(absentMs: number, lost: Outcome, unavailable: Outcome): Promise<readonly string[]>;
  /** This node is going for good reasons: others need not wait for its heartbeat. */
  leave(): Promise<void>;
  /** Waiting, running and registered nodes, for health and metrics. */
  counts(): Promise<Counts>;
}

/**
 * The durable record of a batch: who made it, what became of each of its prompts, and which jobs it has. How the
 * jobs stand is in their own records; nothing is counted twice, so nothing can be counted wrong. Two
 * implementations, Redis and memory, under the contract suite of `ports.ts`.
 */

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
