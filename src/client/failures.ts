/** What a call of the client can end with, beside its answer. */
import type { Problem } from '../errors.ts';

export interface ApiErrorOptions {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly errors?: readonly Problem[];
  readonly requestId?: string | null;
  readonly retryAfterMs?: number | null;
}

/** The server answered, and its answer is an error: problem+json (RFC 9457) as one class. */
export class ApiError extends Error {
  /** HTTP status. */
  readonly status: number;
  /** Of the table in docs/api.md; a newer server may know more. `unknown` when the answer has none. */
  readonly code: string;
  /** A sentence a user can act on; also the `message`. */
  readonly detail: string;
  /** What is wrong with the input, place by place. */
  readonly errors: readonly Problem[];
  /** For whoever reads the server's log. */
  readonly requestId: string | null;
  /** What the server asks to wait before the next try; null when it did not say. */
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

/** Nobody answered, or the answer broke off. */
export class UnreachableError extends Error {
  /** Nobody listens at the address at all: the request certainly had no effect. */
  readonly refused: boolean;

  constructor(url: string, cause: unknown) {
    super(`${url} cannot be reached: ${reasonOf(cause)}`, { cause });
    this.name = 'UnreachableError';
    this.refused = codesOf(cause).some((code) => NOBODY_THERE.has(code));
  }
}

const NOBODY_THERE = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** fetch says only "fetch failed"; the reason lies in its cause, one per address that was tried. */
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
