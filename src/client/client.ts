/** The typed client of the HTTP API, for the command line and for other programs. */
import { randomUUID } from 'node:crypto';
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
import type { Key, KeyCreated, KeyRequest, Me } from '../protocol/key.ts';
import type { Execution } from '../protocol/outcome.ts';
import type { PromptRequest, RetryFrom, RetryRequest } from '../protocol/prompt.ts';
import type { CliProcess, Node, Pause, PauseScope, ProviderReport } from '../protocol/server-info.ts';
import type {
  BatchPage,
  JobListQuery,
  JobPage,
  JobSelection,
  PageQuery,
  Readiness,
  UsageQuery,
  UsageReport,
} from './answers.ts';
import { DEFAULT_SLEEP, requestJson, requestLines } from './calls.ts';
import {
  type ChangesOptions,
  type EventsOptions,
  followBatch,
  followChanges,
  followEvents,
  type StreamOptions,
} from './events.ts';

export interface ClientOptions extends Partial<Omit<StreamOptions, 'url' | 'token'>> {
  /** `http://127.0.0.1:3000` */
  readonly url: string;
  readonly token: string;
}

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

interface Paused {
  readonly paused: readonly Pause[];
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
  processes(query?: ProcessQuery, options?: CallerOptions): Promise<readonly CliProcess[]>;
  process(id: string, options?: CallerOptions): Promise<CliProcess>;
  /**
   * Requests the cancellation of the job that a process runs, or ends an idle process. Returns the
   * process as it was. Admin keys only.
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
  /** Who the caller is, and what its token allows. */
  me(options?: CallerOptions): Promise<Me>;
  usage(query?: UsageQuery, options?: CallerOptions): Promise<UsageReport>;
  /** Whether the server takes jobs; "not ready" is an answer, not an error. */
  ready(options?: CallerOptions): Promise<Readiness>;
}

/**
 * Longest `wait` of one request. The server allows 300 s; Node's fetch gives up after 300 s, too.
 */
const MAX_WAIT_MS = 240_000;
/** About a minute in all: enough for the restart of a server. */
const RESUME_DELAYS_MS = [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000];

/**
 * A client of one server. It makes no request by itself and holds no connection open between calls.
 * @throws TypeError for a token that no header can carry; the message does not quote the token
 */
export function createClient(given: ClientOptions): Client {
  if (!/^[\x21-\x7e]+$/.test(given.token)) throw new TypeError('the token is not visible ASCII');
  const server: StreamOptions = {
    url: given.url,
    token: given.token,
    fetch: given.fetch ?? fetch,
    sleep: given.sleep ?? DEFAULT_SLEEP,
    retryDelaysMs: given.retryDelaysMs ?? [200, 1000, 3000],
    resumeDelaysMs: given.resumeDelaysMs ?? RESUME_DELAYS_MS,
    silenceMs: given.silenceMs ?? 60_000,
  };
  const get = <T>(path: string, query: object, options: CallerOptions): Promise<T> =>
    requestJson<T>(server, { path, query: { ...query }, ...signalOf(options), repeatable: true });
  const post = <T>(path: string, body: unknown, options: CreateOptions): Promise<T> => {
    const { idempotencyKey } = options;
    return requestJson<T>(server, {
      method: 'POST',
      path,
      body,
      ...(idempotencyKey === undefined ? {} : { headers: { 'idempotency-key': idempotencyKey } }),
      ...signalOf(options),
      repeatable: true,
    });
  };
  const create = <T>(path: string, body: unknown, options: CreateOptions): Promise<T> =>
    post<T>(path, body, { ...options, idempotencyKey: options.idempotencyKey ?? randomUUID() });

  return {
    url: server.url,
    create: (request, options = {}) => create<Job>('/v1/jobs', request, options),
    async get(id, { waitMs = 0, ...options } = {}) {
      const deadline = performance.now() + waitMs;
      for (;;) {
        const leftMs = Math.max(0, deadline - performance.now());
        const wait = leftMs === 0 ? undefined : Math.min(leftMs, MAX_WAIT_MS) / 1000;
        const job = await get<Job>(jobPath(id), { wait }, options);
        if (job.finished || performance.now() >= deadline) return job;
      }
    },
    list: (query = {}, options = {}) => get<JobPage>('/v1/jobs', query, options),
    executions: async (id, options = {}) =>
      (await get<{ readonly data: readonly Execution[] }>(jobPath(id, '/executions'), {}, options)).data,
    cancel: (id, { force = false, ...options } = {}) => post<Job>(jobPath(id, '/cancel'), { force }, options),
    retry: (id, overrides = {}, options = {}) => create<Job>(jobPath(id, '/retry'), overrides, options),
    cancelMany: (selection, { force = false, ...options } = {}) =>
      post<ManyCancelled>('/v1/jobs/cancel', { ...selection, force }, options),
    retryMany: (selection, { from, ...options } = {}) =>
      create<ManyRetried>('/v1/jobs/retry', { ...selection, from }, options),
    change: (id, body, options = {}) =>
      requestJson<Job>(server, {
        method: 'PATCH',
        path: jobPath(id),
        body,
        ...signalOf(options),
        repeatable: true,
      }),
    async remove(id, options = {}) {
      // Not repeated: the second answer would be 404.
      const call = { ...signalOf(options), method: 'DELETE', path: jobPath(id), repeatable: false } as const;
      await requestJson<undefined>(server, call);
    },
    events: (id, options) => followEvents(server, id, options),
    changes: (options) => followChanges(server, options),
    createBatch: (prompts, options = {}) => create<BatchCreated>('/v1/batches', { prompts }, options),
    getBatch: (id, options = {}) => get<Batch>(batchPath(id), {}, options),
    listBatches: (query = {}, options = {}) => get<BatchPage>('/v1/batches', query, options),
    batchResults: (id, options = {}) =>
      requestLines<BatchResult>(server, {
        path: batchPath(id, '/results'),
        ...signalOf(options),
        repeatable: false,
      }),
    batchEvents: (id, options) => followBatch(server, id, options),
    cancelBatch: (id, { force = false, ...options } = {}) =>
      post<Batch>(batchPath(id, '/cancel'), { force }, options),
    providers: async (options = {}) =>
      (await get<{ readonly data: readonly ProviderReport[] }>('/v1/providers', {}, options)).data,
    async cleanUpProvider(name, options = {}) {
      const path = `/v1/providers/${encodeURIComponent(name)}/cleanup`;
      return (await post<{ readonly ended: number }>(path, {}, options)).ended;
    },
    async resumeProvider(name, options = {}) {
      const path = `/v1/providers/${encodeURIComponent(name)}/resume`;
      return (await post<{ readonly opened: number }>(path, {}, options)).opened;
    },
    processes: async (query = {}, options = {}) =>
      (await get<{ readonly data: readonly CliProcess[] }>('/v1/processes', query, options)).data,
    process: (id, options = {}) => get<CliProcess>(processPath(id), {}, options),
    terminateProcess: (id, { force = false, ...options } = {}) =>
      post<CliProcess>(processPath(id, '/terminate'), { force }, options),
    paused: async (options = {}) => (await get<Paused>('/v1/queue', {}, options)).paused,
    pauseQueue: async (scope = {}, options = {}) =>
      (await post<Paused>('/v1/queue/pause', scope, options)).paused,
    resumeQueue: async (scope = {}, options = {}) =>
      (await post<Paused>('/v1/queue/resume', scope, options)).paused,
    nodes: async (options = {}) =>
      (await get<{ readonly data: readonly Node[] }>('/v1/nodes', {}, options)).data,
    drainNode: (id, options = {}) => post<Node>(nodePath(id, '/drain'), {}, options),
    resumeNode: (id, options = {}) => post<Node>(nodePath(id, '/resume'), {}, options),
    keys: async (options = {}) =>
      (await get<{ readonly data: readonly Key[] }>('/v1/keys', {}, options)).data,
    createKey: (request, options = {}) => create<KeyCreated>('/v1/keys', request, options),
    revokeKey: (id, options = {}) => post<Key>(keyPath(id, '/revoke'), {}, options),
    rotateKey: (id, options = {}) =>
      requestJson<KeyCreated>(server, {
        ...{ method: 'POST', path: keyPath(id, '/rotate'), body: {} },
        ...{ ...signalOf(options), repeatable: false },
      }),
    me: (options = {}) => get<Me>('/v1/me', {}, options),
    usage: (query = {}, options = {}) => get<UsageReport>('/v1/usage', query, options),
    async ready(options = {}) {
      const call = { ...signalOf(options), path: '/ready', acceptedStatuses: [503], repeatable: false };
      const answer = await requestJson<Readiness | { readonly detail: string }>(server, call);
      if ('checks' in answer) return answer;
      // A stopping server answers every request with an error.
      return { ready: false, checks: { server: { ok: false, detail: answer.detail } } };
    },
  };
}

const jobPath = (id: string, rest = ''): string => `/v1/jobs/${encodeURIComponent(id)}${rest}`;
const processPath = (id: string, rest = ''): string => `/v1/processes/${encodeURIComponent(id)}${rest}`;
const nodePath = (id: string, rest: string): string => `/v1/nodes/${encodeURIComponent(id)}${rest}`;
const keyPath = (id: string, rest: string): string => `/v1/keys/${encodeURIComponent(id)}${rest}`;
const batchPath = (id: string, rest = ''): string => `/v1/batches/${encodeURIComponent(id)}${rest}`;

const signalOf = ({ signal }: CallerOptions): CallerOptions => (signal === undefined ? {} : { signal });
