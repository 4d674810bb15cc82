import type { PlanUse } from './behaviour.ts';
import type { Failure, JsonAnswer } from './vendor.ts';

const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

/** A request's number as it appears in the ids of its answer. */
export const padded = (serial: number): string => String(serial).padStart(6, '0');

/** An error as the Messages API answers it. https://docs.claude.com/en/api/errors */
export function failure({ status, message, retryAfterSeconds, limit }: Failure, serial: number): JsonAnswer {
  const requestId = `req_offline${padded(serial)}`;
  const retryAfter = retryAfterSeconds === null ? {} : { 'retry-after': String(retryAfterSeconds) };
  const error = {
    type: ERROR_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error'),
    message,
  };
  return {
    status,
    headers: { 'request-id': requestId, ...retryAfter, ...limitHeaders(limit) },
    body: { type: 'error', error, request_id: requestId },
  };
}

const inSeconds = (seconds: number): string => String(Math.ceil(Date.now() / 1000) + seconds);

/** How the API tells a plan's login how much of its five hours is used. */
export function useHeaders({ percent, resetsInSeconds }: PlanUse): Readonly<Record<string, string>> {
  const resetsAt = inSeconds(resetsInSeconds);
  return {
    'anthropic-ratelimit-unified-status': 'allowed',
    'anthropic-ratelimit-unified-reset': resetsAt,
    'anthropic-ratelimit-unified-representative-claim': 'five_hour',
    'anthropic-ratelimit-unified-5h-status': 'allowed',
    'anthropic-ratelimit-unified-5h-utilization': String(percent / 100),
    'anthropic-ratelimit-unified-5h-reset': resetsAt,
  };
}

/** How the API tells a plan's login that a limit is reached; the end is in seconds since 1970. */
function limitHeaders(limit: Failure['limit']): Readonly<Record<string, string>> {
  if (limit === undefined) return {};
  const resetsAt = inSeconds(limit.resetsInSeconds);
  return {
    'anthropic-ratelimit-unified-status': 'rejected',
    'anthropic-ratelimit-unified-reset': resetsAt,
    'anthropic-ratelimit-unified-representative-claim': limit.name,
  };
}
