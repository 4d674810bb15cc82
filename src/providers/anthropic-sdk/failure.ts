/** From an error of the Messages API to one of our codes. https://docs.claude.com/en/api/errors */
import { type WireError, wireError } from '../../errors.ts';
import type { ConnectionError, RunnerError } from '../../protocol/anthropic-runner.ts';

export const LOGIN_HINT = 'set ANTHROPIC_API_KEY';

const NO_CREDIT = /credit balance/i;
const CONNECTION_ERROR: ConnectionError = 'connection_error';
/** What may be otherwise in a moment. */
const PASSING = ['overloaded_error', 'api_error', 'timeout_error', 'conflict_error', CONNECTION_ERROR];
const REFUSED = ['invalid_request_error', 'not_found_error', 'request_too_large'];

/** The error a failed call stands for. In the middle of a stream there is a type, but no status. */
export function apiFailure({ status, errorType, message, resetsAt }: RunnerError): WireError {
  const among = (types: readonly string[]): boolean => errorType !== null && types.includes(errorType);

  if (status === 402 || errorType === 'billing_error' || NO_CREDIT.test(message)) {
    return wireError('execution.quota', message, resetsAt);
  }
  if (status === 401 || status === 403 || among(['authentication_error', 'permission_error'])) {
    return wireError('auth.required', `${message} (${LOGIN_HINT})`);
  }
  if (status === 429 || errorType === 'rate_limit_error') {
    return wireError('execution.rate_limited', message, resetsAt);
  }
  if (status === 408 || status === 409 || (status !== null && status >= 500) || among(PASSING)) {
    return wireError('execution.overloaded', message, resetsAt);
  }
  if (status !== null || among(REFUSED)) return wireError('execution.invalid_request', message);
  return wireError('execution.crashed', message);
}
