/** Requests to the servers. Each answer is kept, and judged by docs/api.md. */
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { ERROR_CODES, messageOf } from '../../src/errors.ts';
import type { SupervisedServer } from './server.ts';

/** The statuses that each route may answer with here, beside 503. */
const DOCUMENTED = {
  'POST /v1/jobs': [200, 202],
  'POST /v1/batches': [202],
  'POST /v1/jobs/:id/retry': [202],
  'POST /v1/jobs/:id/cancel': [200, 202, 409],
  'POST /v1/batches/:id/cancel': [200, 202],
  'GET /v1/jobs/:id': [200],
  'GET /v1/jobs/:id/events': [200, 204],
  'GET /v1/batches/:id': [200],
  'GET /v1/jobs': [200],
  'GET /ready': [200],
  'GET /health': [200],
  'GET /metrics': [200],
  'GET /claude-cli/health': [200],
  'GET /v1/usage': [200],
  'GET /v1/providers': [200],
  'GET /v1/processes': [200],
} as const;
export type Route = keyof typeof DOCUMENTED;
/** The codes of a 503. */
const REFUSALS: readonly string[] = [
  'redis.unavailable',
  'server.busy',
  'server.stopping',
  'store.unavailable',
  'queue.full',
];
/** These answer 503 with a report in place of an error. */
const REPORTS: readonly Route[] = ['GET /ready', 'GET /claude-cli/health'];
/**
 * docs/api.md: 503 within two seconds while Redis is away. The rest is for a busy machine: this
 * finds requests that wait for something that never comes, not slow ones.
 */
const ANSWERED_WITHIN_MS = 2000 + 43_000;
/** When the client itself gives up. */
const GIVES_UP_AFTER_MS = 90_000;

export interface Answer {
  readonly route: Route;
  readonly path: string;
  readonly server: number;
  /** null: cut off or refused by the system, so that the client does not know what happened. */
  readonly status: number | null;
  readonly replayed: boolean;
  readonly body: unknown;
  readonly ms: number;
}

export interface AskOptions {
  readonly body?: unknown;
  readonly key?: string;
  /** The `?wait` of the path, in seconds. */
  readonly waitSeconds?: number;
  /** Reads newline-delimited JSON, as `body` the lines. */
  readonly lines?: boolean;
}

/** One connection per request: an open one would count as a descriptor of the server. */
const agent = new Agent({ keepAlive: false });

/** Sends a request and resolves with the head of its answer. @throws when it is cut off before */
export function send(
  server: SupervisedServer,
  options: {
    readonly method: string;
    readonly path: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: unknown;
    readonly signal: AbortSignal;
  },
): Promise<IncomingMessage> {
  const { method, path, body, signal } = options;
  const headers = {
    authorization: `Bearer ${server.token}`,
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...options.headers,
  };
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = request(`${server.url}${path}`, { method, agent, headers, signal }, resolve);
  sent.once('error', reject);
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}

export interface Api {
  ask(server: SupervisedServer, route: Route, path: string, options?: AskOptions): Promise<Answer>;
  /** For a time in which this server need not answer: it is stopped or starved. */
  excuse(server: SupervisedServer): () => void;
  /** What was answered that the documents do not promise. */
  readonly wrong: readonly string[];
  /** Answers by status; `none` for those that were cut off. */
  readonly counts: ReadonlyMap<string, number>;
  /** The longest time that an answer of a server without excuse took, in ms. */
  slowestMs(): number;
}

export function createApi(): Api {
  const wrong: string[] = [];
  const counts = new Map<string, number>();
  /** Per server: when an excuse began, and when it ended. */
  const excuses: { readonly server: number; readonly from: number; to: number }[] = [];
  let slowestMs = 0;

  const excused = (server: number, from: number, to: number): number =>
    excuses
      .filter((one) => one.server === server)
      .reduce((sum, one) => sum + Math.max(0, Math.min(to, one.to) - Math.max(from, one.from)), 0);

  function judge(answer: Answer, begun: number, waitMs: number, retryAfter: string | null): void {
    const { route, path, status, body, server } = answer;
    const say = (why: string): void => {
      const shown = JSON.stringify(body)?.slice(0, 300);
      wrong.push(`${route.split(' ')[0]} ${path} at server ${server + 1}: ${why}: ${shown}`);
    };
    const taken = answer.ms - waitMs - excused(server, begun, begun + answer.ms);
    if (status !== null || answer.ms >= GIVES_UP_AFTER_MS) slowestMs = Math.max(slowestMs, taken);
    if (taken > ANSWERED_WITHIN_MS) say(`answered after ${Math.round(taken)} ms`);
    const allowed: readonly number[] = DOCUMENTED[route];
    if (status === null || allowed.includes(status) === true) return;
    const code = typeof body === 'object' && body !== null && 'code' in body ? String(body.code) : '';
    if (status !== 503) say(`status ${status} is not promised here`);
    else if (REPORTS.includes(route)) return;
    else if (!REFUSALS.includes(code)) say(`503 has the code ${code}`);
    else if (retryAfter === null) say('503 has no Retry-After');
    if (code !== '' && !(code in ERROR_CODES)) say('the code is not in the table');
  }

  return {
    wrong,
    counts,
    slowestMs: () => slowestMs,
    excuse(server) {
      const one = { server: server.index, from: performance.now(), to: Number.POSITIVE_INFINITY };
      excuses.push(one);
      return () => {
        one.to = performance.now();
      };
    },
    async ask(server, route, path, options = {}) {
      const { body, key, waitSeconds = 0, lines = false } = options;
      const begun = performance.now();
      const common = { route, path, server: server.index };
      let retryAfter: string | null = null;
      let answer: Answer;
      try {
        const response = await send(server, {
          method: route.split(' ')[0] ?? 'GET',
          path,
          body,
          signal: AbortSignal.timeout(GIVES_UP_AFTER_MS + waitSeconds * 1000),
          headers: {
            ...(key === undefined ? {} : { 'idempotency-key': key }),
            ...(lines ? { accept: 'application/x-ndjson' } : {}),
          },
        });
        const { statusCode = 0, headers } = response;
        retryAfter = headers['retry-after'] ?? null;
        const content = await text(response);
        answer = {
          ...common,
          status: statusCode,
          replayed: headers['idempotent-replayed'] === 'true',
          body: parse(content, lines && statusCode === 200, headers['content-type'] ?? ''),
          ms: performance.now() - begun,
        };
      } catch (error) {
        const ms = performance.now() - begun;
        answer = { ...common, status: null, replayed: false, body: messageOf(error), ms };
      }
      const name = String(answer.status ?? 'none');
      counts.set(name, (counts.get(name) ?? 0) + 1);
      judge(answer, begun, waitSeconds * 1000, retryAfter);
      return answer;
    },
  };
}

function parse(content: string, lines: boolean, contentType: string): unknown {
  if (lines) return content.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
  return contentType.includes('json') ? JSON.parse(content) : content;
}
