/** The server's client of an executor on another host: one method for each route. */
import type { IncomingHttpHeaders } from 'node:http';
import { type TSchema, Type } from '#typebox';
import { SIGNATURE_WINDOW_MS } from '../auth/request-signature.ts';
import { AppError, ERROR_CODES, type ErrorCode } from '../errors.ts';
import { type Checker, createChecker } from '../protocol/checker.ts';
import {
  type CancelRequest,
  ClisAnswer,
  EVENTS_TYPE,
  ExecutionAnswer,
  ExecutionLine,
  ExecutionsAnswer,
  NODE_HEADER,
  SILENT_STREAM_MS,
  type Submission,
} from '../protocol/executor-service.ts';
import { linesOf } from './lines.ts';
import type { ExecutorHealth } from './ports.ts';
import { createSignedRequests, type ExecutorAnswer, unavailable } from './signed-requests.ts';

/** An event, its raw line and an outcome are limited by settings of the executor. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;

/** Which executor answers: its id, or null before its first answer. */
export interface ExecutorClient {
  readonly node: string | null;
  /**
   * Each method throws AppError executor.unavailable when there is no answer, and the error of the
   * executor when it refuses.
   */
  submit(submission: Submission): Promise<ExecutionAnswer>;
  known(): Promise<ExecutionsAnswer>;
  /**
   * The lines with n > `after`, until the answer is over; the caller asks again. An answer that
   * breaks throws executor.unavailable.
   * @throws AppError execution.not_found
   */
  follow(id: string, after: number, signal: AbortSignal): AsyncGenerator<ExecutionLine>;
  /** Renews an execution whose lines cannot be read now. */
  renew(id: string, after: number): Promise<void>;
  cancel(id: string, request: CancelRequest): Promise<ExecutionAnswer>;
  health(): Promise<ExecutorHealth>;
  /** The CLIs of its host. */
  clis(): Promise<ClisAnswer>;
  close(): void;
}

const executionAnswer = createChecker(ExecutionAnswer);
const executionsAnswer = createChecker(ExecutionsAnswer);
const clisAnswer = createChecker(ClisAnswer);
const executionLine = createChecker(ExecutionLine);
const health = createChecker(
  Type.Object({
    status: Type.Enum(['healthy', 'unhealthy']),
    claudeAvailable: Type.Boolean(),
    version: Type.Union([Type.String(), Type.Null()]),
    loggedIn: Type.Union([Type.Boolean(), Type.Null()]),
    problem: Type.Union([Type.String(), Type.Null()]),
    activeRequests: Type.Integer(),
  }),
);
const problem = createChecker(
  Type.Object({
    code: Type.String(),
    detail: Type.String(),
    errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }))),
  }),
);

export function createExecutorClient({
  url,
  secret,
  version,
  timeoutMs,
  silentMs = SILENT_STREAM_MS,
  onLimited = () => undefined,
}: {
  /** `http://host:port` or `https://host:port` */
  readonly url: string;
  /** The first of the shared secrets: it signs. */
  readonly secret: string;
  /** Of this server. Left out: the executor takes its submissions with any. */
  readonly version?: string;
  /** For an answer, or for the head of a stream. */
  readonly timeoutMs: number;
  /** A stream without a line for this long is broken. Default: as the protocol says. */
  readonly silentMs?: number;
  /** The executor has refused a request because of the number of them. */
  readonly onLimited?: () => void;
}): ExecutorClient {
  const requests = createSignedRequests({ url, secret, version, timeoutMs });
  let node: string | null = null;

  function noteNode(headers: IncomingHttpHeaders): void {
    const { [NODE_HEADER]: named } = headers;
    if (typeof named === 'string') node = named;
  }

  function refusedBy(answer: ExecutorAnswer): AppError {
    const error = errorOf(answer);
    if (error.code === 'limit.requests_per_minute') onLimited();
    return error;
  }

  /** The body of an answer. @throws AppError that the answer is, or executor.unavailable */
  async function ask<T extends TSchema>(checker: Checker<T>, request: Parameters<typeof requests.ask>[0]) {
    const answer = await requests.ask(request);
    noteNode(answer.headers);
    if (answer.status !== 200 && answer.status !== 202) throw refusedBy(answer);
    const body = jsonOf(answer.body);
    if (!checker.check(body)) throw unavailable(new Error('an answer that is not valid'), true);
    return body;
  }

  /** A proxy may have removed the header. */
  async function noted<T extends { readonly node: string }>(answer: Promise<T>): Promise<T> {
    ({ node } = await answer);
    return answer;
  }

  async function openEvents(id: string, after: number, signal?: AbortSignal) {
    const path = `/v1/executions/${id}/events?after=${after}`;
    const answer = await requests.open({ method: 'GET', path, ...(signal && { signal }) });
    noteNode(answer.headers);
    if ('body' in answer) throw refusedBy(answer);
    if (answer.headers['content-type']?.startsWith(EVENTS_TYPE) === true) return answer;
    answer.destroy();
    throw unavailable(new Error('an answer that is not of an executor'), true);
  }

  return {
    get node() {
      return node;
    },
    submit: (body) => noted(ask(executionAnswer, { method: 'POST', path: '/v1/executions', body })),
    known: () => noted(ask(executionsAnswer, { method: 'GET', path: '/v1/executions' })),
    async *follow(id, after, signal) {
      const response = await openEvents(id, after, signal);
      for await (const text of linesOf(response, { silentMs, maxLineBytes: MAX_LINE_BYTES })) {
        const line = jsonOf(Buffer.from(text));
        if (!executionLine.check(line)) throw unavailable(new Error('a line that is not valid'), true);
        yield line;
      }
    },
    async renew(id, after) {
      (await openEvents(id, after)).destroy();
    },
    cancel: (id, body) =>
      noted(ask(executionAnswer, { method: 'POST', path: `/v1/executions/${id}/cancel`, body })),
    clis: () => ask(clisAnswer, { method: 'GET', path: '/v1/providers' }),
    async health() {
      const answer = await requests.ask({ method: 'GET', path: '/health' });
      const body = jsonOf(answer.body); // 503 has a report, too
      if (health.check(body)) return body;
      throw errorOf(answer);
    },
    close: requests.close,
  };
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The error that an answer is. */
function errorOf({ status, headers, body }: ExecutorAnswer): AppError {
  const found = jsonOf(body);
  if (!problem.check(found) || !isCode(found.code)) return errorOfOther(status);
  const { code, detail, errors: problems = [] } = found;
  // An executor names its node before it looks at the request, but for what it refuses unseen.
  const isOfExecutor = headers[NODE_HEADER] !== undefined || status === 429 || status >= 500;
  if (!isOfExecutor) return errorOfOther(status, ` (${code})`);
  if (code === 'executor.unavailable') return unavailable(new Error(detail), false); // it takes none
  const after = Number(headers['retry-after']);
  return new AppError(
    code,
    whyRefused(code, headers) ?? (code === 'store.unavailable' ? `of the executor: ${detail}` : detail),
    {
      problems,
      ...(Number.isFinite(after) && { retryAfterSeconds: after }),
    },
  );
}

/**
 * Of an answer that is none of an executor: of a proxy, or of a server at a wrong address. With a
 * status below 500 it has not passed the request on.
 */
function errorOfOther(status: number, code = ''): AppError {
  if (status === 413) {
    const detail = 'something before the executor refuses a request of this size: let it pass 4 MiB';
    return new AppError('request.too_large', detail);
  }
  const what = `what answers at CLAUDE_SERVICE_URL is no executor: status ${status}${code}`;
  return unavailable(new Error(what), status >= 500);
}

/** For the operator: a 401 says nothing about why. Null: it is none. */
function whyRefused(code: ErrorCode, { date }: IncomingHttpHeaders): string | null {
  const refuses = 'the executor refuses the signature';
  if (code === 'signature.missing') return `${refuses}: something on the way has removed it`;
  if (code === 'signature.invalid')
    return `${refuses}: CLAUDE_SERVICE_SECRET is another one there, or something on the way changes requests`;
  if (code === 'signature.replayed') return `${refuses}: something on the way has sent the request before`;
  if (code !== 'signature.expired') return null;
  const aheadMs = Date.parse(date ?? '') - Date.now();
  // A date of a proxy says nothing about the clock behind it.
  if (!(Math.abs(aheadMs) > SIGNATURE_WINDOW_MS / 2))
    return `${refuses}: the clocks differ by more than 30 s`;
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  return `${refuses}: its clock is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the one of this server`;
}

export const isCode = (code: string): code is ErrorCode => Object.hasOwn(ERROR_CODES, code);
