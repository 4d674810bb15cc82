import { APIConnectionError, APIError } from '@anthropic-ai/sdk/core/error';
import { messageOf } from '../errors.ts';
import type { ConnectionError, RunnerError } from '../protocol/anthropic-runner.ts';

const CONNECTION_ERROR: ConnectionError = 'connection_error';

/**
 * What the SDK threw, as a line.
 * @param nowMs to turn "in so many seconds" into a time
 * @throws `error` itself when neither the API nor the connection is to blame
 */
export function failureLine(error: unknown, nowMs: number): RunnerError {
  if (error instanceof APIConnectionError) {
    return brokenStream(error.cause === undefined ? error.message : `${error.message} ${causeOf(error)}`);
  }
  if (error instanceof APIError) {
    return {
      type: 'error',
      status: error.status ?? null,
      errorType: error.type,
      message: error.apiMessage ?? error.message,
      resetsAt: resetsAt(error.headers?.get('retry-after') ?? null, nowMs),
    };
  }
  // `fetch` says so when the other side goes away in the middle of its answer.
  if (error instanceof TypeError && error.message === 'terminated') {
    return brokenStream(`the answer broke off ${causeOf(error)}`);
  }
  throw error;
}

/** A call that got no answer, or not all of it. */
export const brokenStream = (message: string): RunnerError => ({
  type: 'error',
  status: null,
  errorType: CONNECTION_ERROR,
  message,
  resetsAt: null,
});

/** `fetch failed` says nothing; the error below it does. */
function causeOf(error: Error): string {
  let innermost = error;
  while (innermost.cause instanceof Error) innermost = innermost.cause;
  return `(${messageOf(innermost)})`;
}

/** @param retryAfter seconds or an HTTP date (RFC 9110, 10.2.3) */
function resetsAt(retryAfter: string | null, nowMs: number): string | null {
  if (retryAfter === null) return null;
  const seconds = Number(retryAfter);
  const at = new Date(Number.isNaN(seconds) ? retryAfter : nowMs + seconds * 1000);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}
