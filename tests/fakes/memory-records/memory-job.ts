import type { StoredEvent } from '../../../src/protocol/event.ts';
import type { JobStatus } from '../../../src/protocol/job.ts';
import type { Outcome } from '../../../src/protocol/outcome.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { Claim, FinishResult, JobRecord, NewJob } from '../../../src/records/ports.ts';
import { lanesOf, scoreOf } from '../../../src/records/record-codec.ts';

/** A job's record and its events, as memory keeps them: what the Redis hash and stream hold. */
export interface MemoryJob {
  readonly id: string;
  readonly kind: 'api' | 'raw';
  readonly project: string;
  readonly principal: string;
  readonly sessionId: string;
  readonly batch: string | null;
  readonly request: ResolvedPrompt;
  readonly retryOf: string | null;
  readonly pin: string | null;
  readonly lanes: readonly string[];
  /** Place among pending jobs: lower is sooner. */
  readonly score: number;
  readonly createdAt: number;
  readonly maxAttempts: number;
  readonly events: StoredEvent[];
  rev: number;
  status: JobStatus;
  waitReason: string | null;
  scheduledFor: number | null;
  attempt: number;
  failures: number;
  executionId: string | null;
  node: string | null;
  cancel: JobRecord['cancel'];
  /** Events of the current execution that were appended. */
  appended: number;
  /** When it expires, should nobody have claimed it by then. */
  deadline: number | null;
  startedAt: number | null;
  finishedAt: number | null;
  outcome: Outcome | null;
  /** The execution that ended last, and how FINISH answered it. */
  ended: { readonly executionId: string; readonly as: FinishResult } | null;
  /** When the record is forgotten. */
  goneAt: number | null;
}

/** What goes in must not change with what the caller does to it later. */
export const copyOf = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T; // what a store would give back

/** A job that waits to be submitted. */
export function newMemoryJob(job: NewJob): MemoryJob {
  return {
    id: job.id,
    kind: job.kind,
    project: job.project,
    principal: job.principal,
    sessionId: job.sessionId,
    batch: job.batch ?? null,
    request: copyOf(job.request),
    retryOf: job.retryOf,
    pin: job.pin,
    lanes: lanesOf(job),
    score: scoreOf(job),
    createdAt: job.createdAt,
    maxAttempts: job.request.maxAttempts,
    events: [],
    rev: 0,
    status: 'queued',
    waitReason: null,
    scheduledFor: null,
    attempt: 0,
    failures: 0,
    executionId: null,
    node: null,
    cancel: 'none',
    appended: 0,
    deadline: null,
    startedAt: null,
    finishedAt: null,
    outcome: null,
    ended: null,
    goneAt: null,
  };
}

export function toRecord(job: MemoryJob): JobRecord {
  return {
    id: job.id,
    rev: job.rev,
    kind: job.kind,
    project: job.project,
    principal: job.principal,
    sessionId: job.sessionId,
    batch: job.batch,
    request: copyOf(job.request),
    retryOf: job.retryOf,
    pin: job.pin,
    status: job.status,
    waitReason: job.waitReason,
    scheduledFor: job.scheduledFor,
    attempt: job.attempt,
    failures: job.failures,
    executionId: job.executionId,
    node: job.node,
    cancel: job.cancel,
    lastSeq: job.events.length,
    createdAt: job.createdAt,
    startedAt: job.startedAt,
    finishedAt: job.finishedAt,
    outcome: copyOf(job.outcome),
  };
}

export function toClaim(job: MemoryJob): Claim {
  return {
    jobId: job.id,
    executionId: job.executionId ?? '',
    attempt: job.attempt,
    kind: job.kind,
    principal: job.principal,
    sessionId: job.sessionId,
    request: copyOf(job.request),
  };
}
