import type { Middleware } from '@anthropic-ai/sdk/core/middleware';
import type { RunnerRetry } from '../protocol/anthropic-runner.ts';

/** The SDK waits as long as `retry-after` says, be it hours. A job that is tried later holds no slot meanwhile. */
const MAX_WAIT_SECONDS = 30;

/** Tells of every retry when it begins, and forbids those that would wait too long. Sees each try of one call. */
export function createRetryWatch(maxRetries: number, write: (line: RunnerRetry) => void): Middleware {
  let tries = 0;
  let status: number | null = null;
  return async (request, next) => {
    if (tries > 0) write({ type: 'retry', retry: tries, maxRetries, status });
    tries += 1;
    status = null;
    const response = await next(request);
    ({ status } = response);
    return waitSeconds(response) > MAX_WAIT_SECONDS ? final(response) : response;
  };
}

/** 0 when the answer does not say, also for a date: those are rare, and the SDK reads them. */
const waitSeconds = ({ headers }: Response): number => Number(headers.get('retry-after') ?? 0) || 0;

/** The same answer with the header by which the API itself forbids a retry. */
function final({ body, status, statusText, headers }: Response): Response {
  const changed = new Headers(headers);
  changed.set('x-should-retry', 'false');
  return new Response(body, { status, statusText, headers: changed });
}
