/** From what the CLI says about a failure to one of our codes. */
import { type WireError, wireError } from '../../errors.ts';

/** Everything a failed run said about why. */
export interface FailureSigns {
  /** HTTP status of the vendor's API. */
  readonly status: number | null;
  /** `error` of the last assistant line: `authentication_failed`, `rate_limit`, `billing_error` … */
  readonly errorClass: string | null;
  readonly subtype: string | null;
  readonly terminalReason: string | null;
  /** What a person would read. */
  readonly message: string;
}

export const LOGIN_HINT = 'run `claude` and then /login as the user of this server, or set ANTHROPIC_API_KEY';

const AUTH_CLASSES = [
  'authentication_failed',
  'oauth_org_not_allowed',
  'account_on_hold',
  'verification_required',
  'cloud_credential_error',
];
const INVALID_CLASSES = ['invalid_request', 'model_not_found'];
/** The conversation does not fit into the model, or an image cannot be used. */
const INVALID_REASONS = ['prompt_too_long', 'blocking_limit', 'rapid_refill_breaker', 'image_error'];

const NOT_LOGGED_IN = /not logged in|please run \/login|invalid api key|failed to authenticate/i;
const NO_CREDIT = /credit balance/i;
const UNREACHABLE = /unable to connect|connection (error|refused|reset)|request timed out|fetch failed/i;
/** Refusals of the command line or the session; most come on stderr and without any JSON. */
const REFUSED = [
  /No conversation found with session ID/,
  /--resume requires a valid session/,
  /error: unknown option/,
  /error: option .* is invalid/,
  /--json-schema is not/,
  /Input contained only whitespace/,
  /Input must be provided/,
  /cannot be used with root\/sudo privileges/,
];

/** The error these signs stand for; null when they say nothing we know. */
export function knownFailure(signs: FailureSigns): WireError | null {
  const { status, errorClass, subtype, terminalReason, message } = signs;
  const is = (name: string, reason: string): boolean => subtype === name || terminalReason === reason;
  const among = (classes: readonly string[]): boolean => errorClass !== null && classes.includes(errorClass);

  if (is('error_max_turns', 'max_turns')) return wireError('execution.max_turns', message);
  if (is('error_max_budget_usd', 'budget_exhausted')) return wireError('execution.budget', message);
  if (is('error_max_structured_output_retries', 'structured_output_retry_exhausted')) {
    return wireError('execution.bad_output', message);
  }
  if (errorClass === 'billing_error' || status === 402 || NO_CREDIT.test(message)) {
    return wireError('execution.quota', message);
  }
  if (
    status === 401 ||
    status === 403 ||
    among(AUTH_CLASSES) ||
    (status === null && NOT_LOGGED_IN.test(message))
  ) {
    return wireError('auth.required', `${message} (${LOGIN_HINT})`);
  }
  if (status === 429 || errorClass === 'rate_limit') {
    return wireError('execution.rate_limited', message);
  }
  if (INVALID_REASONS.some((reason) => reason === terminalReason) || among(INVALID_CLASSES)) {
    return wireError('execution.invalid_request', message);
  }
  if (status !== null && status >= 400) {
    return wireError(
      status >= 500 || status === 408 ? 'execution.overloaded' : 'execution.invalid_request',
      message,
    );
  }
  if (
    among(['overloaded', 'server_error']) ||
    (terminalReason === 'api_error' && UNREACHABLE.test(message))
  ) {
    return wireError('execution.overloaded', message);
  }
  if (errorClass === 'max_output_tokens') return wireError('execution.bad_output', message);
  return refusedCommand(message);
}

/** What the CLI refused before it began, from a text of its own. */
export function refusedCommand(text: string): WireError | null {
  const line = text.split('\n').find((one) => REFUSED.some((known) => known.test(one)));
  return line === undefined ? null : wireError('execution.invalid_request', line.trim());
}

/** The same for a run that left nothing but stderr. */
export function stderrFailure(stderrTail: string): WireError | null {
  const refused = refusedCommand(stderrTail);
  if (refused !== null) return refused;
  const login = stderrTail.split('\n').find((line) => NOT_LOGGED_IN.test(line));
  return login === undefined ? null : wireError('auth.required', `${login.trim()} (${LOGIN_HINT})`);
}
