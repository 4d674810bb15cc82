/** The typed client of the HTTP API: what the command line stands on, and any program may. */
import { randomUUID } from 'node:crypto';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import type { PromptOverrides, PromptRequest } from '../protocol/prompt.ts';
import type { ProviderReport } from '../protocol/server-info.ts';
import type {
  ExecutionsAnswer,
  JobListQuery,
  JobPage,
  Readiness,
  UsageQuery,
  UsageReport,
} from './answers.ts';
import { type BatchCalls, createBatchCalls } from './batches.ts';
import { ask, DEFAULT_SLEEP } from './calls.ts';
import { type EventsOptions, followEvents, type StreamOptions } from './events.ts';

export interface ClientOptions extends Partial<Omit<StreamOptions, 'url' | 'token'>> {
  /** `http://127.0.0.1:3000` */
  readonly url: string;
  readonly token: string;
}

export interface Once {
  readonly signal?: AbortSignal;
}

export interface Keyed extends Once {
  /** Default: a new one, so that a broken answer is asked for again and makes no second job. */
  readonly idempotencyKey?: string;
}

/**
 * Every method throws ApiError when the server refuses, UnreachableError when nobody answers. What is safe to
 * repeat is repeated a few times after a broken connection, 429 and 503.
 */
export interface Client extends BatchCalls {
  readonly url: string;
  /** A new job; resolves when it is accepted. */
  create(request: PromptRequest, options?: Keyed): Promise<Job>;
  /** @param options.waitMs answers when the job is finished, or after this time with how it stands */
  get(id: string, options?: Once & { readonly waitMs?: number }): Promise<Job>;
  /** Newest first. */
  list(query?: JobListQuery, options?: Once): Promise<JobPage>;
  /** Asks for its end; the job as it stands, which may still end otherwise. `force`: without the grace. */
  cancel(id: string, options?: Once & { readonly force?: boolean }): Promise<Job>;
  /** A new job made of a finished one, some fields changed. */
  retry(id: string, overrides?: PromptOverrides, options?: Keyed): Promise<Job>;
  /** Forgets a finished job and all it left. */
  remove(id: string, options?: Once): Promise<void>;
  /** A job's events, resumed by itself. See {@link followEvents}. */
  events(id: string, options?: EventsOptions): AsyncGenerator<StoredEvent, void, undefined>;
  providers(options?: Once): Promise<readonly ProviderReport[]>;
  /** What runs on the server now. Admin keys only. */
  executions(options?: Once): Promise<ExecutionsAnswer>;
  usage(query?: UsageQuery, options?: Once): Promise<UsageReport>;
  /** Whether jobs are taken; "not ready" is an answer, not an error. */
  ready(options?: Once): Promise<Readiness>;
}

/** Longest `wait` of one request: the server's is 300 s, which is also where Node's fetch gives up. */
const MAX_WAIT_MS = 240_000;

/**
 * A client of one server. Makes no request by itself and holds nothing open between calls.
 * @throws TypeError for a token that no header can carry; it does not quote it
 */
export function createClient(given: ClientOptions): Client {
  if (!/^[\x21-\x7e]+$/.test(given.token)) throw new TypeError('the token is not visible ASCII');
  const options: StreamOptions = {
    fetch,
    sleep: DEFAULT_SLEEP,
    retryDelaysMs: [200, 1000, 3000],
    // About a minute, in which a server is restarted.
    resumeDelaysMs: [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000],
    silenceMs: 60_000,
    ...given,
  };
  const jobPath = (id: string, rest = ''): string => `/v1/jobs/${encodeURIComponent(id)}${rest}`;

  return {
    url: options.url,
    ...createBatchCalls(options),
    create: (request, { idempotencyKey = randomUUID(), ...once } = {}) =>
      ask<Job>(options, {
        ...once,
        method: 'POST',
        path: '/v1/jobs',
        body: request,
        headers: { 'idempotency-key': idempotencyKey },
        repeatable: true,
      }),
    async get(id, { waitMs = 0, ...once } = {}) {
      const deadline = performance.now() + waitMs;
      for (;;) {
        const leftMs = Math.max(0, deadline - performance.now());
        const wait = leftMs === 0 ? undefined : Math.min(leftMs, MAX_WAIT_MS) / 1000;
        const job = await ask<Job>(options, {
          ...once,
          path: jobPath(id),
          query: { wait },
          repeatable: true,
        });
        if (job.finished || performance.now() >= deadline) return job;
      }
    },
    list: (query = {}, once = {}) =>
      ask<JobPage>(options, { ...once, path: '/v1/jobs', query: { ...query }, repeatable: true }),
    cancel: (id, { force = false, ...once } = {}) =>
      ask<Job>(options, {
        ...once,
        method: 'POST',
        path: jobPath(id, '/cancel'),
        body: { force },
        repeatable: true,
      }),
    retry: (id, overrides = {}, { idempotencyKey = randomUUID(), ...once } = {}) =>
      ask<Job>(options, {
        ...once,
        method: 'POST',
        path: jobPath(id, '/retry'),
        body: overrides,
        headers: { 'idempotency-key': idempotencyKey },
        repeatable: true,
      }),
    async remove(id, once = {}) {
      // Not repeated: the second answer would be that there is no such job.
      await ask<undefined>(options, { ...once, method: 'DELETE', path: jobPath(id), repeatable: false });
    },
    events: (id, events) => followEvents(options, id, events),
    async providers(once = {}) {
      return (await ask<List<ProviderReport>>(options, { ...once, path: '/v1/providers', repeatable: true }))
        .data;
    },
    executions: (once = {}) =>
      ask<ExecutionsAnswer>(options, { ...once, path: '/v1/executions', repeatable: true }),
    usage: (query = {}, once = {}) =>
      ask<UsageReport>(options, { ...once, path: '/v1/usage', query: { ...query }, repeatable: true }),
    async ready(once = {}) {
      const call = { ...once, path: '/ready', alsoFine: [503], repeatable: false };
      const answer = await ask<Readiness | { readonly detail: string }>(options, call);
      if ('checks' in answer) return answer;
      return { ready: false, checks: { server: { ok: false, detail: answer.detail } } }; // it stops
    },
  };
}

interface List<T> {
  readonly data: readonly T[];
}
