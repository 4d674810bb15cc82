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

/** Whether a stream, or a connection, that broke with this error can go on with the next try. */
export function mayResume(error: unknown): boolean {
  if (!(error instanceof ApiError)) return error instanceof UnreachableError;
  return error.status >= 500 || error.status === 429 || error.status === 408;
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
  const shown = text.trim().replaceAll(/\s+/g, ' ').slice(0, MAX_QUOTED);
  const detail = `the server answered ${status}${shown === '' ? '' : `: ${shown}`}`;
  const retryAfter = retryAfterMs(response.headers.get('retry-after'));
  return new ApiError({ detail, ...partsOf(objectIn(text)), status, retryAfterMs: retryAfter });
}

/** The error that a problem document describes. */
export function apiErrorIn(problem: object): ApiError {
  const numberIn = (name: string): number | null => {
    const value: unknown = Object.entries(problem).find(([key]) => key === name)?.[1];
    return typeof value === 'number' ? value : null;
  };
  const seconds = numberIn('retryAfterSeconds');
  return new ApiError({
    detail: 'the server refused it',
    ...partsOf({ ...problem }),
    status: numberIn('status') ?? 500,
    retryAfterMs: seconds === null ? null : seconds * 1000,
  });
}

/** What a problem document says beside its status. */
function partsOf(body: Readonly<Record<string, unknown>>): Omit<ApiErrorOptions, 'status' | 'detail'> {
  const detail = stringIn(body, 'detail');
  return {
    code: stringIn(body, 'code') ?? 'unknown',
    ...(detail === null ? {} : { detail }),
    errors: problemsIn(body['errors']),
    requestId: stringIn(body, 'requestId'),
  };
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
