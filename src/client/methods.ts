/** What a client of the HTTP API can do. */
import type { AuditFilter, AuditHead, AuditVerification } from '../protocol/audit.ts';
import type { BatchEvent, Change } from '../protocol/change.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type {
  Batch,
  BatchCreated,
  BatchResult,
  Job,
  JobPatch,
  ManyCancelled,
  ManyRetried,
} from '../protocol/job.ts';
import type { Key, KeyCreated, KeyRequest, LoginLink, Me } from '../protocol/key.ts';
import type { Execution } from '../protocol/outcome.ts';
import type { PromptRequest, RetryFrom, RetryRequest } from '../protocol/prompt.ts';
import type {
  CliProcess,
  Node,
  Pause,
  PauseScope,
  ProcessList,
  ProviderReport,
  SettingInForce,
} from '../protocol/server-info.ts';
import type { Steered } from '../protocol/session.ts';
import type {
  AuditPage,
  BatchPage,
  JobListQuery,
  JobPage,
  JobSelection,
  PageQuery,
  Preferences,
  Readiness,
  UsageQuery,
  UsageReport,
} from './answers.ts';
import {
  type ChangesOptions,
  type EventsOptions,
  followBatch,
  followChanges,
  followEvents,
} from './events.ts';
import type { Live, LiveOptions } from './live.ts';
import type { ApprovalMethods, SessionMethods, TurnMessage } from './sessions.ts';

export interface CallerOptions {
  readonly signal?: AbortSignal;
}

export interface CreateOptions extends CallerOptions {
  /** Default: a new key for each call, so that a repeated request makes no second job. */
  readonly idempotencyKey?: string;
}

export interface CancelOptions extends CallerOptions {
  /** Kill at once, without a grace period. */
  readonly force?: boolean;
}

export interface ProcessQuery {
  readonly provider?: string;
}

/**
 * Every method throws ApiError when the server refuses the request and UnreachableError when no
 * server answers. Requests that are safe to repeat are repeated a few times after a broken
 * connection, 429 and 503.
 */
export interface Client {
  readonly url: string;
  readonly sessions: SessionMethods;
  readonly approvals: ApprovalMethods;
  /**
   * Opens a live connection, for terminals and for many readers at once. The caller closes it.
   * @param options.auth default: the token, or the login cookie, of this client
   * @param options.patienceMs default: a minute
   */
  live(options?: Partial<Pick<LiveOptions, 'auth' | 'patienceMs' | 'onStatus'>>): Live;
  /** Makes a job; resolves when the server has accepted it. */
  create(request: PromptRequest, options?: CreateOptions): Promise<Job>;
  /** @param options.waitMs resolves when the job is finished, at the latest after this time */
  get(id: string, options?: CallerOptions & { readonly waitMs?: number }): Promise<Job>;
  /** Newest first. */
  list(query?: JobListQuery, options?: CallerOptions): Promise<JobPage>;
  /** The executions of a job, the first one first. */
  executions(id: string, options?: CallerOptions): Promise<readonly Execution[]>;
  /** Requests the cancellation of a job and returns the job, which may still end in another way. */
  cancel(id: string, options?: CancelOptions): Promise<Job>;
  /** Makes a new job like a finished one, with some fields changed. */
  retry(id: string, overrides?: RetryRequest, options?: CreateOptions): Promise<Job>;
  /**
   * Cancels the jobs of one page of a filter; `nextCursor` of the answer has the next page. Without
   * a status: those that have not ended.
   */
  cancelMany(selection: JobSelection, options?: CancelOptions): Promise<ManyCancelled>;
  /** Retries the jobs of one page of a filter, as a batch. Without a status: those that failed. */
  retryMany(
    selection: JobSelection,
    options?: CreateOptions & { readonly from?: RetryFrom },
  ): Promise<ManyRetried>;
  /** Changes fields of a job; each value replaces the old one. */
  change(id: string, patch: JobPatch, options?: CallerOptions): Promise<Job>;
  /** Deletes a finished job, its events and its outcome. */
  remove(id: string, options?: CallerOptions): Promise<void>;
  /** Sends a message to the session of a running job. Resolves with the job of its turn. */
  message(id: string, message: TurnMessage, options?: CreateOptions): Promise<Job>;
  /** Sends a message into a running job. When its turn has ended, it becomes the next turn. */
  steer(id: string, prompt: string, options?: CreateOptions): Promise<Steered>;
  /** The events of a job, over as many connections as needed. See {@link followEvents}. */
  events(id: string, options?: EventsOptions): AsyncGenerator<StoredEvent, void, undefined>;
  /**
   * The changes of all jobs that the caller may see, over as many connections as needed. See
   * {@link followChanges}.
   */
  changes(options?: ChangesOptions): AsyncGenerator<Change, void, undefined>;
  /**
   * Makes jobs of up to 1,000 prompts; the answer names, in order, the job or the error of each
   * prompt.
   */
  createBatch(prompts: readonly PromptRequest[], options?: CreateOptions): Promise<BatchCreated>;
  /** A batch with its job counts by status. `client.list({ batch: id })` has the jobs. */
  getBatch(id: string, options?: CallerOptions): Promise<Batch>;
  /** Newest first. */
  listBatches(query?: PageQuery, options?: CallerOptions): Promise<BatchPage>;
  /** What each prompt of a batch has come to, in order, as it is read. */
  batchResults(id: string, options?: CallerOptions): AsyncGenerator<BatchResult, void, undefined>;
  /** The changes of a batch's jobs and its counts, to its end. See {@link followBatch}. */
  batchEvents(
    id: string,
    options?: Pick<ChangesOptions, 'after' | 'signal'>,
  ): AsyncGenerator<BatchEvent, void, undefined>;
  /** Requests the cancellation of every unfinished job of a batch. */
  cancelBatch(id: string, options?: CancelOptions): Promise<Batch>;
  providers(options?: CallerOptions): Promise<readonly ProviderReport[]>;
  /** Ends the idle processes of a provider and returns their number. Admin keys only. */
  cleanUpProvider(name: string, options?: CallerOptions): Promise<number>;
  /**
   * Lets jobs use a limited or refused credential before its time. Returns how many there were.
   * Admin keys only.
   * @param name of a credential, or of a provider for all of its credentials
   */
  resumeProvider(name: string, options?: CallerOptions): Promise<number>;
  /** The processes of CLIs on the server: running ones, then idle ones. Admin keys only. */
  processes(query?: ProcessQuery, options?: CallerOptions): Promise<ProcessList>;
  process(id: string, options?: CallerOptions): Promise<CliProcess>;
  /**
   * Requests the cancellation of the job that a process runs, or ends an idle process. Returns the
   * process as it was. Admin keys only. Not repeated: the second answer would be 404.
   */
  terminateProcess(id: string, options?: CancelOptions): Promise<CliProcess>;
  /** What is paused, oldest first. */
  paused(options?: CallerOptions): Promise<readonly Pause[]>;
  /** Starts no more of these jobs. Returns what is paused then. Admin keys only. */
  pauseQueue(scope?: PauseScope, options?: CallerOptions): Promise<readonly Pause[]>;
  resumeQueue(scope?: PauseScope, options?: CallerOptions): Promise<readonly Pause[]>;
  /** The servers on this Redis. */
  nodes(options?: CallerOptions): Promise<readonly Node[]>;
  /** Starts no more jobs on a server. */
  drainNode(id: string, options?: CallerOptions): Promise<Node>;
  resumeNode(id: string, options?: CallerOptions): Promise<Node>;
  /** All keys, newest first. Admin keys only, as the next three. */
  keys(options?: CallerOptions): Promise<readonly Key[]>;
  /** Makes a key. Its token is in this answer only. */
  createKey(request: KeyRequest, options?: CreateOptions): Promise<KeyCreated>;
  revokeKey(id: string, options?: CallerOptions): Promise<Key>;
  /** Gives a key another token. Not repeated: each call makes a new one. */
  rotateKey(id: string, options?: CallerOptions): Promise<KeyCreated>;
  /** Who did what, newest first. */
  audit(query?: AuditFilter & PageQuery, options?: CallerOptions): Promise<AuditPage>;
  /**
   * Checks the audit of the server. Admin keys only.
   * @param head an earlier `head`, which must still be part of it
   */
  verifyAudit(head?: AuditHead | null, options?: CallerOptions): Promise<AuditVerification>;
  /** Who the caller is, and what its token allows. */
  me(options?: CallerOptions): Promise<Me>;
  /** A code with which a browser logs in as the caller, once, within a minute. */
  createLoginLink(options?: CallerOptions): Promise<LoginLink>;
  /** What pages remember of the caller. */
  preferences(options?: CallerOptions): Promise<Preferences>;
  /** Replaces it: a JSON object of at most 16 KiB. */
  setPreferences(preferences: Preferences, options?: CallerOptions): Promise<Preferences>;
  usage(query?: UsageQuery, options?: CallerOptions): Promise<UsageReport>;
  /** The settings in force, without secrets. Admin keys only. */
  settings(options?: CallerOptions): Promise<readonly SettingInForce[]>;
  /** Whether the server takes jobs; "not ready" is an answer, not an error. */
  ready(options?: CallerOptions): Promise<Readiness>;
}
