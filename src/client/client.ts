/** The typed client of the HTTP API, for the command line and for other programs. */
import type { AuditVerification } from '../protocol/audit.ts';
import type { Batch, BatchCreated, BatchResult, Job, ManyCancelled, ManyRetried } from '../protocol/job.ts';
import type { Key, KeyCreated, LoginLink, Me } from '../protocol/key.ts';
import type { Execution } from '../protocol/outcome.ts';
import type {
  CliProcess,
  Node,
  Pause,
  ProcessList,
  ProviderReport,
  SettingInForce,
} from '../protocol/server-info.ts';
import type { Steered } from '../protocol/session.ts';
import type { AuditPage, BatchPage, JobPage, Preferences, Readiness, UsageReport } from './answers.ts';
import { DEFAULT_SLEEP, randomId, requestJson, requestNdjson } from './calls.ts';
import { followBatch, followChanges, followEvents, type StreamOptions } from './events.ts';
import { createLive, type LiveAuth } from './live.ts';
import type { CallerOptions, Client, CreateOptions } from './methods.ts';
import { createApprovalMethods, createSessionMethods, MAX_WAIT_MS } from './sessions.ts';

// biome-ignore lint/performance/noBarrelFile: the one module of the package that programs import
export { ApiError, UnreachableError } from './errors.ts';
export type { Live, SnapshotTaken } from './live.ts';
export type { Client, CreateOptions } from './methods.ts';

export interface ClientOptions extends Partial<Omit<StreamOptions, 'url' | 'token'>> {
  /** `http://127.0.0.1:3000` */
  readonly url: string;
  /** Null: in a page of the server itself, which the browser's login cookie authenticates. */
  readonly token: string | null;
}

interface Paused {
  readonly paused: readonly Pause[];
}

const PATIENCE_MS = 60_000;

/** About a minute in all: enough for the restart of a server. */
const RESUME_DELAYS_MS = [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000];

/**
 * A client of one server. It makes no request by itself and holds no connection open between calls.
 * @throws TypeError for a token that is no text, or that no header can carry; the message does not
 *   quote the token
 */
export function createClient(given: ClientOptions): Client {
  // A program in JavaScript may give the value of a variable that is not set.
  if (given.token !== null && !(typeof given.token === 'string' && /^[\x21-\x7e]+$/.test(given.token)))
    throw new TypeError('the token is not visible ASCII');
  const server: StreamOptions = {
    url: given.url,
    token: given.token,
    // Not `fetch` itself: browsers refuse it as a method of another object.
    fetch: given.fetch ?? ((input, init) => fetch(input, init)),
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
    post<T>(path, body, { ...options, idempotencyKey: options.idempotencyKey ?? randomId() });

  const once = <T>(path: string, body: unknown, options: CallerOptions): Promise<T> =>
    requestJson<T>(server, { method: 'POST', path, body, ...signalOf(options), repeatable: false });
  const remove = async (path: string, options: CallerOptions): Promise<void> => {
    // Not repeated: the second answer would be 404.
    const call = { ...signalOf(options), method: 'DELETE', path, repeatable: false } as const;
    await requestJson<undefined>(server, call);
  };
  const requests = { get, post, once, create, remove };
  const me: Client['me'] = (options = {}) => get<Me>('/v1/me', {}, options);
  const authOfLive = async (): Promise<LiveAuth> => {
    if (server.token !== null) return { token: server.token };
    await me(); // refused where the login is over: a WebSocket would not say why
    return null;
  };

  return {
    url: server.url,
    sessions: createSessionMethods(server, requests),
    approvals: createApprovalMethods(requests),
    live: ({ auth = authOfLive, patienceMs = PATIENCE_MS, onStatus = () => {} } = {}) =>
      createLive({
        ...{ url: server.url, sleep: server.sleep, silenceMs: server.silenceMs },
        ...{ resumeDelaysMs: server.resumeDelaysMs, auth, patienceMs, onStatus },
        openSocket: (url) => new WebSocket(url),
      }),
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
    remove: (id, options = {}) => remove(jobPath(id), options),
    message: (id, message, options = {}) => create<Job>(jobPath(id, '/messages'), message, options),
    steer: (id, prompt, options = {}) =>
      create<Steered>(jobPath(id, '/messages'), { prompt, delivery: 'steer' }, options),
    events: (id, options) => followEvents(server, id, options),
    changes: (options) => followChanges(server, options),
    createBatch: (prompts, options = {}) => create<BatchCreated>('/v1/batches', { prompts }, options),
    getBatch: (id, options = {}) => get<Batch>(batchPath(id), {}, options),
    listBatches: (query = {}, options = {}) => get<BatchPage>('/v1/batches', query, options),
    batchResults: (id, options = {}) =>
      requestNdjson<BatchResult>(server, {
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
    processes: (query = {}, options = {}) => get<ProcessList>('/v1/processes', query, options),
    process: (id, options = {}) => get<CliProcess>(processPath(id), {}, options),
    terminateProcess: (id, { force = false, ...options } = {}) =>
      once<CliProcess>(processPath(id, '/terminate'), { force }, options),
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
    rotateKey: (id, options = {}) => once<KeyCreated>(keyPath(id, '/rotate'), {}, options),
    audit: (query = {}, options = {}) => get<AuditPage>('/v1/audit', query, options),
    verifyAudit(head = null, options = {}) {
      const query = head === null ? {} : { head: `${head.seq}:${head.hash}` };
      return get<AuditVerification>('/v1/audit/verification', query, options);
    },
    me,
    createLoginLink: (options = {}) => once<LoginLink>('/v1/login-links', {}, options),
    preferences: (options = {}) => get<Preferences>('/v1/me/preferences', {}, options),
    setPreferences: (body, options = {}) =>
      requestJson<Preferences>(server, {
        ...{ method: 'PUT', path: '/v1/me/preferences', body },
        ...{ ...signalOf(options), repeatable: true },
      }),
    usage: (query = {}, options = {}) => get<UsageReport>('/v1/usage', query, options),
    settings: async (options = {}) =>
      (await get<{ readonly data: readonly SettingInForce[] }>('/v1/settings', {}, options)).data,
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
