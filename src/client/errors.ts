/** The errors of the client. */
import type { Problem } from '../errors.ts';

export interface ApiErrorOptions {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly errors?: readonly Problem[];
  readonly requestId?: string | null;
  readonly retryAfterMs?: number | null;
}

/** The server answered with an error: problem+json (RFC 9457) as one class. */
export class ApiError extends Error {
  /** HTTP status. */
  readonly status: number;
  /** A code of docs/api.md or of a newer server; `unknown` when the answer has none. */
  readonly code: string;
  /** A sentence a user can act on; the same as `message`. */
  readonly detail: string;
  /** What is wrong with the input, one entry per field. */
  readonly errors: readonly Problem[];
  /** Finds the request in the server's log. */
  readonly requestId: string | null;
  /** The wait before the next try that the server asks for; null: it named none. */
  readonly retryAfterMs: number | null;

  constructor(options: ApiErrorOptions) {
    super(options.detail);
    this.name = 'ApiError';
    this.status = options.status;
    this.code = options.code;
    this.detail = options.detail;
    this.errors = options.errors ?? [];
    this.requestId = options.requestId ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** No server answered, or the connection broke before the end of the answer. */
export class UnreachableError extends Error {
  /** No connection was made: the request certainly had no effect. */
  readonly refused: boolean;

  constructor(url: string, cause: unknown) {
    super(`${url} cannot be reached: ${reasonOf(cause)}`, { cause });
    this.name = 'UnreachableError';
    this.refused = codesOf(cause).some((code) => NO_CONNECTION.has(code));
  }
}

const NO_CONNECTION = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/**
 * The message of fetch is only "fetch failed"; its cause has the reason, one per address it tried.
 */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause !== undefined) return reasonOf(error.cause);
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error.message === '' ? error.name : error.message;
}

function codesOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [];
  const own = 'code' in error && typeof error.code === 'string' ? [error.code] : [];
  const several = error instanceof AggregateError ? error.errors.flatMap(codesOf) : [];
  return [...own, ...several, ...codesOf(error.cause)];
}

const MAX_QUOTED = 200;

/**
 * The error in an answer. An answer that is not problem+json (a proxy's page) is quoted in short.
 */
export async function apiErrorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => ''); // the connection broke: the status is enough
  const { status } = response;
  const body = objectIn(text);
  const shown = text.trim().replaceAll(/\s+/g, ' ').slice(0, MAX_QUOTED);
  return new ApiError({
    status,
    code: stringIn(body, 'code') ?? 'unknown',
    detail: stringIn(body, 'detail') ?? `the server answered ${status}${shown === '' ? '' : `: ${shown}`}`,
    errors: problemsIn(body['errors']),
    requestId: stringIn(body, 'requestId'),
    retryAfterMs: retryAfterMs(response.headers.get('retry-after')),
  });
}

/** Retry-After in whole seconds, as Bullpen sends it. A date, which RFC 9110 allows, is ignored. */
function retryAfterMs(header: string | null): number | null {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : null;
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {}; // the caller quotes the text
  }
}

const stringIn = (body: Readonly<Record<string, unknown>>, name: string): string | null => {
  const value = body[name];
  return typeof value === 'string' ? value : null;
};

function problemsIn(value: unknown): readonly Problem[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown) => {
    const problem = typeof one === 'object' && one !== null ? { ...one } : {};
    const path = stringIn(problem, 'path');
    const message = stringIn(problem, 'message');
    return path === null || message === null ? [] : [{ path, message }];
  });
}
