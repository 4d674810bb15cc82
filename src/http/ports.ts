/** The services that HTTP uses. `app.ts` passes in the real ones. */
import type { Principal } from '../auth/principal.ts';
import type { AppError, Rate } from '../errors.ts';
import type { LiveMeasures } from '../live/ports.ts';
import type {
  Actor,
  AuditAct,
  AuditEntry,
  AuditHead,
  AuditQuery,
  AuditVerification,
} from '../protocol/audit.ts';
import type { BatchEvent, Change } from '../protocol/change.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type {
  Batch,
  BatchCreated,
  BatchResult,
  Job,
  JobFilter,
  JobListItem,
  JobPatch,
  JobQuery,
  JobStatus,
  ManyCancelled,
  ManyRetried,
} from '../protocol/job.ts';
import type { Execution } from '../protocol/outcome.ts';
import type { PromptRequest, ResolvedPrompt, RetryFrom, RetryRequest } from '../protocol/prompt.ts';
import type { CliProcess, Node, Pause, PauseScope, ProviderReport } from '../protocol/server-info.ts';
import type { UsageDimension, UsageRow } from '../protocol/usage.ts';
import type { LogEntry } from '../records/change-log.ts';

/** `key` as the caller sent it; `fingerprint`: SHA-256 of method, path and body. */
export interface Idempotency {
  readonly key: string;
  readonly fingerprint: string;
}

export interface Created {
  readonly job: Job;
  /** Whether an earlier request with the same Idempotency-Key made the job. */
  readonly replayed: boolean;
  /** What is left of the jobs an hour; null or left out: there is no such limit. */
  readonly rate?: Rate | null;
}

export interface JobPage {
  readonly data: readonly JobListItem[];
  readonly nextCursor: string | null;
}

/**
 * Every method throws AppError: job.not_found, including for the job of another project, and
 * redis.unavailable within 2 s.
 */
export interface Jobs {
  /** @throws AppError limit.*, as `retry` does: the caller or its project has reached a limit */
  create(principal: Principal, request: PromptRequest, idempotency: Idempotency | null): Promise<Created>;
  get(principal: Principal, id: string): Promise<Job>;
  /** The finished job, or its state after `waitMs`. Never rejects because of `signal`. */
  wait(principal: Principal, id: string, waitMs: number, signal: AbortSignal): Promise<Job>;
  list(principal: Principal, query: JobQuery): Promise<JobPage>;
  /** By attempt. */
  executions(principal: Principal, id: string): Promise<readonly Execution[]>;
  /**
   * `alreadyCancelled`: the job had ended as cancelled before.
   * @throws AppError job.already_finished when it had ended otherwise
   */
  cancel(principal: Principal, id: string, force: boolean): Promise<{ job: Job; alreadyCancelled: boolean }>;
  retry(
    principal: Principal,
    id: string,
    overrides: RetryRequest,
    idempotency: Idempotency | null,
  ): Promise<Created>;
  change(principal: Principal, id: string, patch: JobPatch): Promise<Job>;
  delete(principal: Principal, id: string): Promise<void>;
}

/** A prompt of a batch as the caller sent it, or why it cannot be one. */
export interface BatchItem extends Pick<ResolvedPrompt, 'continues'> {
  readonly customId: string | null;
  readonly prompt: PromptRequest | AppError;
  /** The job that this one retries. */
  readonly retryOf?: string;
  /** The project of that job. */
  readonly project?: string;
}

/** Which jobs are meant: one page of those that a filter names. */
export interface JobSelection {
  readonly filter: JobFilter;
  /** `nextCursor` of the page before; null: the first page. */
  readonly cursor: string | null;
}

/** What is done to many jobs at once. Each call acts on one page, at most 1,000 jobs. */
export interface ManyJobs {
  /** Without a status in the filter: every job that has not ended. */
  cancel(principal: Principal, selection: JobSelection, force: boolean): Promise<ManyCancelled>;
  /**
   * Makes a batch of the jobs' retries. Without a status in the filter: of the failed jobs.
   * @param from null: each in its session, where the CLI has begun it
   * @throws AppError queue.full, idempotency.key_reused
   */
  retry(
    principal: Principal,
    selection: JobSelection,
    from: RetryFrom | null,
    idempotency: Idempotency | null,
  ): Promise<ManyRetried>;
}

export interface Batches {
  /**
   * Makes a job of each prompt. An error in `items`, or a refused prompt, does not affect the
   * others.
   * @throws AppError queue.full, limit.*, idempotency.key_reused, or redis.unavailable, when some
   * prompts may have been accepted
   */
  create(
    principal: Principal,
    items: readonly BatchItem[],
    idempotency: Idempotency | null,
  ): Promise<Omit<Created, 'job'> & { readonly batch: BatchCreated }>;
  /** @throws AppError batch.not_found, including for the batch of another project */
  get(principal: Principal, id: string): Promise<Batch>;
  /** Newest first. `cursor`: `nextCursor` of the page before; null: the first page. */
  list(
    principal: Principal,
    page: { readonly limit: number; readonly cursor: string | null },
  ): Promise<{ readonly data: readonly Batch[]; readonly nextCursor: string | null }>;
  /** The result of each prompt, in order, some at a time. @throws AppError batch.not_found */
  results(principal: Principal, id: string): Promise<AsyncIterable<readonly BatchResult[]>>;
  /** Cancels every job that has not ended; `alreadyOver`: all had ended. */
  cancel(principal: Principal, id: string, force: boolean): Promise<{ batch: Batch; alreadyOver: boolean }>;
}

/** The events of a job, in order and without a gap: the stored ones, then new ones. */
export interface EventHub {
  /**
   * Batches of events with a seq above `after` (0: all). Ends after `job.finished` or when `signal`
   * aborts. Throws for a reader that takes batches too slowly; it resumes by seq.
   * @throws AppError job.not_found when the job is deleted before the reader has `job.finished`,
   *   redis.unavailable when Redis has lost it
   */
  read(jobId: string, after: number, signal: AbortSignal): AsyncIterable<readonly StoredEvent[]>;
}

/** Which changes a reader of all changes gets. */
export interface ChangeQuery {
  /** The last cursor that the reader has; null: only changes from now on. */
  readonly after: string | null;
  /** Any of these; empty: all. */
  readonly status: readonly JobStatus[];
  readonly batch: string | null;
}

/** The changes of all jobs that a caller may see, in order, at least once. */
export interface ChangeFeed {
  /**
   * Batches of changes; the first one is the cursor at which the reader begins. Ends when `signal`
   * aborts. Throws for a reader that takes batches too slowly; it resumes by its cursor.
   * @throws AppError events.expired when changes after the cursor are lost
   */
  read(principal: Principal, query: ChangeQuery, signal: AbortSignal): AsyncIterable<readonly Change[]>;
  /** The entries of the log after a cursor; null: from now on. The first group is empty. */
  follow(after: string | null, signal: AbortSignal): AsyncIterable<LogGroup>;
}

/** Entries of the log, and where a reader is after them. */
export interface LogGroup {
  readonly cursor: string;
  readonly entries: readonly LogEntry[];
}

/** The changes of the jobs of a batch, and its counts, at least once. */
export interface BatchFeed {
  /**
   * Ends when the batch has ended. The first group comes at once, or none for a reader that has
   * everything of an ended batch.
   * @throws AppError batch.not_found, events.expired
   */
  read(
    principal: Principal,
    id: string,
    after: string | null,
    signal: AbortSignal,
  ): AsyncIterable<readonly BatchEvent[]>;
}

export interface UsageQuery {
  readonly by: UsageDimension;
  /** RFC 3339 in UTC: executions that ended at this time or later; null: from the first. */
  readonly from: string | null;
  /** Executions that ended before this time; null: to the last. */
  readonly to: string | null;
}

/** Reads usage. Admins get the usage of every project, others that of their own. */
export type ReadUsage = (principal: Principal, query: UsageQuery) => Promise<readonly UsageRow[]>;

export interface Health {
  /**
   * One check per dependency; `detail` is a problem or a note. `degraded`: ready, but a stored
   * record cannot be read, or no terminal can be started.
   */
  readiness(): Promise<{
    readonly ready: boolean;
    readonly degraded: boolean;
    readonly checks: Readonly<Record<string, { readonly ok: boolean; readonly detail: string | null }>>;
  }>;
  /** `GET /claude-cli/health`. */
  executor(): Promise<{
    readonly healthy: boolean;
    /** Where CLIs run. */
    readonly mode: 'main-process' | 'http';
    readonly pendingRequests: number;
    readonly running: number;
    readonly limit: number;
  }>;
  /** Prometheus text. */
  metrics(): Promise<string>;
  providers(): Promise<readonly ProviderReport[]>;
  /**
   * Opens the closed gates of a provider, or of one credential. Returns how many there were.
   * @throws AppError provider.not_found
   */
  resumeProvider(principal: Principal, name: string): Promise<number>;
}

/** Counts the requests of callers. */
export interface RequestLimits {
  /**
   * Returns what is left; null: the caller has no limit.
   * @throws AppError limit.requests_per_minute, redis.unavailable
   */
  takeRequest(principal: Principal): Promise<Rate | null>;
}

/** What the HTTP server counts for the metrics. */
export type HttpMeasures = LiveMeasures;

/** What pages remember of each principal. */
export interface Preferences {
  /** As it was written; at first an empty object. */
  read(principal: Principal): Promise<Record<string, unknown>>;
  write(principal: Principal, preferences: Readonly<Record<string, unknown>>): Promise<void>;
}

/** Who did what. */
export interface Audit {
  /**
   * Notes an act that changes no record: after it, at most once. While Redis is away it is only in
   * the server's log.
   */
  note(by: Actor, act: AuditAct): void;
  /** Newest first; those of the principal's project, for an admin those of all. */
  list(
    principal: Principal,
    query: AuditQuery,
  ): Promise<{ readonly data: readonly AuditEntry[]; readonly nextCursor: string | null }>;
  /** Checks the chain of this server. @param noted a link that must be in it; null: none */
  verify(noted: AuditHead | null): Promise<AuditVerification>;
}

/** What a person holds. Running jobs go on. */
export interface Holds {
  /** What is paused and concerns the principal, oldest first. */
  paused(principal: Principal): Promise<readonly Pause[]>;
  /**
   * Pauses jobs, or lets them start again. Returns what is paused then.
   * @throws AppError provider.not_found, project.not_found
   */
  pause(principal: Principal, scope: PauseScope, closes: boolean): Promise<readonly Pause[]>;
  nodes(): Promise<readonly Node[]>;
  /**
   * Drains a node, or lets it start jobs again.
   * @throws AppError node.not_found
   */
  drain(principal: Principal, id: string, closes: boolean): Promise<Node>;
}

/** The processes of this node. Every method throws AppError process.not_found. */
export interface Processes {
  /** @param provider null: of every provider */
  list(provider: string | null): readonly CliProcess[];
  get(id: string): CliProcess;
  /**
   * Cancels the job of a running process, closes its terminal, or ends an idle one.
   * @throws AppError job.already_finished
   */
  terminate(principal: Principal, id: string, force: boolean): Promise<CliProcess>;
  /**
   * Ends the idle processes of a provider and returns their number.
   * @throws AppError provider.not_found
   */
  cleanUp(principal: Principal, provider: string): Promise<number>;
}
