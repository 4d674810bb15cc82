/**
 * The durable records of jobs, as each side uses them; batch-ports.ts has those of batches,
 * upkeep-ports.ts what the sweeps use.
 *
 * A fact is in a record before its message is published; a message only says "look now". Each
 * change is one atomic step that also appends to the job's events and to the log.
 */
import type { JobGrant } from '../auth/job-grant.ts';
import type { Actor, OwnedAct } from '../protocol/audit.ts';
import type { SourcedEvent, StoredEvent } from '../protocol/event.ts';
import type { Reported } from '../protocol/executor-service.ts';
import type { JobPatch, JobStatus } from '../protocol/job.ts';
import type { Outcome, Usage } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Limited, Made } from './limit-records.ts';

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
  /** What it may do; null: a record of an older version, which is as free as its project. */
  readonly grant: JobGrant | null;
  /** It should be signed and is not. */
  readonly forged: boolean;
  /** The session that it resumes, or the one that it begins; that one has the job's id. */
  readonly sessionId: string;
  /** The CLI's own id of that session; null: no execution of this job has begun or resumed it. */
  readonly nativeSessionId: string | null;
  /** The batch it was made in. */
  readonly batch: string | null;
  readonly request: ResolvedPrompt;
  readonly archived: boolean;
  readonly retryOf: string | null;
  /** The only node that may run it, if pinned. */
  readonly pin: string | null;
  readonly status: JobStatus;
  readonly waitReason: string | null;
  readonly scheduledFor: number | null;
  /** How many executions were started. */
  readonly attempt: number;
  /** How many executions failed or were lost; only these count against `maxAttempts`. */
  readonly failures: number;
  /** The current execution; null until the job is submitted. */
  readonly executionId: string | null;
  readonly node: string | null;
  readonly cancel: 'none' | 'requested' | 'forced' | 'interrupt';
  readonly lastSeq: number;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly outcome: Outcome | null;
}

type Given = 'id' | 'kind' | 'project' | 'principal' | 'grant' | 'sessionId' | 'request' | 'retryOf' | 'pin';

export interface NewJob extends Pick<JobRecord, Given> {
  /** The batch that it belongs to. Default: none. */
  readonly batch?: string | null;
  readonly createdAt: number;
  /** Of a job that is made again: when it was to begin. Its ttlMs counts from then. */
  readonly dueAt?: number;
  readonly idempotency: UsedKey | null;
  /** Who asked for it. Left out: the server itself, without an entry in the audit. */
  readonly by?: Actor;
  /** BullMQ delivers it at once, so that the nodes need not look for it. Default: false. */
  readonly delivered?: boolean;
  /** The limits of its caller and its project count. Default: false, for one that is restored. */
  readonly limited?: boolean;
}

export interface IdempotencyKey {
  readonly key: string;
  readonly fingerprint: string;
}

export interface UsedKey extends IdempotencyKey {
  /** The job of this key, when it was deleted: the new job takes its place. */
  readonly deleted?: string;
}

export type CreateResult =
  | Made
  | Limited
  | { readonly kind: 'replayed'; readonly jobId: string }
  /** The idempotency key was used for another request. */
  | { readonly kind: 'mismatch' }
  /** Its session is closed. */
  | { readonly kind: 'closed' };

export type CancelResult =
  | { readonly kind: 'gone' }
  /** It ended before. */
  | { readonly kind: 'finished'; readonly status: JobStatus }
  /** It did not run: it has ended now. */
  | { readonly kind: 'cancelled' }
  /** It runs: its flag is set, and its node will see it. */
  | { readonly kind: 'requested' };

export interface ManyRecords {
  readonly found: readonly JobRecord[];
  /** `over`: the job has ended, or its key is no record, so nothing will change. */
  readonly damaged: readonly { readonly id: string; readonly over: boolean }[];
}

/** What changes of a job. */
export interface RecordChange extends Pick<JobPatch, 'tags' | 'metadata' | 'archived'> {
  /** With `score`: its new place among ready jobs. */
  readonly priority?: { readonly value: number; readonly score: number };
  /**
   * No execution begins before; milliseconds since the epoch, the past means now. `deadline`: when
   * its `ttlMs` ends then; null: it has none.
   */
  readonly runAt?: { readonly at: number; readonly deadline: number | null };
}

export type ChangeResult =
  | 'changed'
  /** Redis no longer has the job. Every node changes its copy when it reads the log. */
  | 'gone'
  /**
   * It is too late for the priority or `runAt`: it runs, waits for a person, or has ended. Nothing
   * has changed.
   */
  | 'running'
  | 'finished';

/** For the HTTP side. */
export interface JobRecords {
  create(job: NewJob): Promise<CreateResult>;
  /** What `create` would find under the key; null: nothing. The record of the job may be gone. */
  recall(
    used: IdempotencyKey,
  ): Promise<Exclude<CreateResult, { kind: 'created' | 'limited' | 'closed' }> | null>;
  /** @throws AppError record.damaged */
  read(id: string): Promise<JobRecord | null>;
  /** The records that exist, in one round trip; unreadable records are listed apart. */
  readMany(ids: readonly string[]): Promise<ManyRecords>;
  /** @param by who asks for it, for the audit; null, the default: the server itself */
  cancel(id: string, force: boolean, outcome: Outcome, by?: Actor | null): Promise<CancelResult>;
  /**
   * Stops a running turn without its process, where the CLI can; a job that does not run ends now.
   * @param by as of `cancel`
   * @param message that asks for it: one of the last 1,000 of its session that did so acts once,
   *   also when it names another job then
   */
  interrupt(
    id: string,
    outcome: Outcome,
    by?: Actor | null,
    message?: { readonly session: string; readonly id: string } | null,
  ): Promise<CancelResult | { readonly kind: 'repeated' }>;
  /** @param by as of `cancel`, with the job's project */
  change(id: string, change: RecordChange, by?: OwnedAct | null): Promise<ChangeResult>;
  /**
   * Removes a finished job, or an unreadable key in its place, with its events. False: none.
   * @param by as of `change`; it counts also when there is no record
   */
  remove(id: string, by?: OwnedAct | null): Promise<boolean>;
  /**
   * Events with seq > after, in order. Returns fewer than `limit` only at the end. Unreadable
   * events are left out.
   */
  events(id: string, after: number, limit: number): Promise<readonly StoredEvent[]>;
}

/** An execution that this node has claimed. */
export interface Claim {
  readonly jobId: string;
  readonly executionId: string;
  readonly attempt: number;
  readonly kind: 'api' | 'raw';
  readonly project: string;
  readonly principal: string;
  readonly grant: JobGrant | null;
  readonly forged: boolean;
  readonly sessionId: string;
  readonly request: ResolvedPrompt;
  /** Since it could begin. Left out: not known. */
  readonly waitedMs?: number;
}

/** A job whose process can be started ahead. */
export type WaitingJob = Pick<Claim, 'jobId' | 'project' | 'principal' | 'grant' | 'forged' | 'request'>;

export interface Claimed {
  readonly claims: readonly Claim[];
  /** Jobs that the node was given now: BullMQ has to deliver them. */
  readonly given: readonly string[];
}

/** `abandoned`: the server that asked for it has not done so for too long. */
export type LeaseState =
  | 'held'
  | 'cancel'
  | 'cancel-force'
  | 'interrupt'
  | 'interrupt-force'
  | 'lost'
  | 'abandoned';

export interface Finish {
  readonly jobId: string;
  readonly executionId: string;
  readonly outcome: Outcome;
  /** What the earlier executions of the job used. Left out: nothing. */
  readonly earlierUsage?: Usage | null;
  /** The number of the first event in `tail`; those that were appended before are skipped. */
  readonly from: number;
  readonly tail: readonly TimedEvent[];
  /** Delay before the next execution, if the outcome allows one; null: no next execution. */
  readonly backoffMs: number | null;
  /**
   * How long the job may wait for its usage limit, over all its executions. Then `backoffMs` is no
   * retry, and nothing counts as failed. Null, or left out: it does not wait for one.
   */
  readonly quotaMs?: number | null;
  /**
   * Whether it ended because a person has to answer. Then the job waits for its open approvals, and
   * nothing counts as failed. Left out: no.
   */
  readonly parked?: boolean;
  /** What the CLI reported beside the outcome. Left out: nothing. */
  readonly reported?: Reported | null;
  readonly rawAnswer: string | null; // for a raw job: what to publish on the responses channel
}

export interface TimedEvent extends SourcedEvent {
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/**
 * `read`, `unread`: the events are appended, and the job has readers now or has none (a hint).
 * `spent`: they are appended, and it has to stop: the amount of the day is spent.
 * `fenced`: nothing was appended: this is no longer the job's current execution.
 */
export type Appended = 'read' | 'unread' | 'spent' | 'fenced';

/** `waiting`: for a person; or it goes on at once, because one has answered. */
export type FinishResult = 'finished' | 'scheduled' | 'waiting' | 'superseded';

/** For the executor. */
export interface Claims {
  /**
   * Claims up to `max` executions that were given to this node and delivered. A claimed execution
   * is never claimed again. Then ready jobs are given to the node, in fair order: as many as it has
   * free slots left.
   * @param max free slots
   * @param room free slots by provider, for providers with a limit
   */
  claim(max: number, room?: Readonly<Record<string, number>>): Promise<Claimed>;
  /** This node takes no more jobs: others may have those that it was given. */
  giveBack(): Promise<void>;
  /** The jobs that `claim` would find next, best first, at most `max`. Changes nothing. */
  peek(max: number): Promise<readonly WaitingJob[]>;
  /** The executions of this node according to the records. */
  owned(): Promise<readonly Claim[]>;
  /**
   * Renews leases and the heartbeat. Returns one state per execution, in order.
   * @param credentials names of this node's credentials by provider. Left out: as before.
   */
  renew(
    executions: readonly { jobId: string; executionId: string }[],
    credentials?: Readonly<Record<string, string>>,
  ): Promise<readonly LeaseState[]>;
  /** Appends events, the first as the execution's number `from`. A repeated call adds nothing. */
  append(jobId: string, executionId: string, from: number, events: readonly TimedEvent[]): Promise<Appended>;
  finish(finish: Finish): Promise<FinishResult>;
  /** Makes a pending job of a raw request. Returns false when another node answers raw requests. */
  adopt(job: NewJob, executionId: string): Promise<boolean>;
}
