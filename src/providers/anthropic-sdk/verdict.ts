/** How a run ended, by the rule: success = a `result` line of a complete answer AND exit code 0. */
import { type WireError, wireError } from '../../errors.ts';
import type { ConnectionError, RunnerError, RunnerResult } from '../../protocol/anthropic-runner.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import { howItEnded } from '../endings.ts';
import { parseJson } from '../json.ts';
import type { Verdict } from '../provider.ts';

/** Everything known about a finished run. */
export interface AnthropicEnd {
  readonly request: ResolvedPrompt;
  readonly result: RunnerResult | null;
  readonly failure: RunnerError | null;
  /** The text so far. */
  readonly partialText: string;
  readonly usage: Usage | null;
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** Total: gives a verdict for every ending, including that of a killed run. */
export function anthropicVerdict(end: AnthropicEnd): Verdict {
  const text = end.result?.text ?? end.partialText;
  const structured =
    end.request.outputSchema === null || end.result === null ? null : (parseJson(text) ?? null);
  return {
    text,
    structured,
    nativeSessionId: null,
    turns: end.result === null ? null : 1,
    usage: end.usage,
    permissionDenials: [],
    error: errorOf(end, structured),
  };
}

function errorOf(end: AnthropicEnd, structured: unknown): WireError | null {
  const { result, failure, exit, request, stderrTail } = end;
  if (failure !== null) return apiFailure(failure);
  if (exit.code !== 0) return wireError('execution.crashed', `the runner ${howItEnded(exit, stderrTail)}`);
  if (result === null) return wireError('execution.bad_output', 'the runner ended without a result');
  const incomplete = whyIncomplete(result.stop_reason);
  if (incomplete !== null) return incomplete;
  if (request.outputSchema !== null && structured === null) {
    return wireError('execution.bad_output', 'the answer is not the structured output that was asked for');
  }
  return null;
}

/** https://docs.claude.com/en/api/handling-stop-reasons */
function whyIncomplete(stopReason: string | null): WireError | null {
  switch (stopReason) {
    case 'max_tokens':
      return wireError('execution.bad_output', 'the answer was cut off at providerOptions.maxTokens');
    case 'model_context_window_exceeded':
      return wireError('execution.invalid_request', "the answer was cut off at the model's context window");
    case 'refusal':
      return wireError('execution.invalid_request', 'the model refused to answer');
    default:
      return null;
  }
}

export const LOGIN_HINT = 'set ANTHROPIC_API_KEY';

const NO_CREDIT = /credit balance/i;
const CONNECTION_ERROR: ConnectionError = 'connection_error';
/** A retry may succeed. */
const PASSING = ['overloaded_error', 'api_error', 'timeout_error', 'conflict_error', CONNECTION_ERROR];
const REFUSED = ['invalid_request_error', 'not_found_error', 'request_too_large'];

/**
 * The error behind a failed call. In the middle of a stream it has a type, but no status.
 * https://docs.claude.com/en/api/errors
 */
function apiFailure({ status, errorType, message, resetsAt }: RunnerError): WireError {
  const among = (types: readonly string[]): boolean => errorType !== null && types.includes(errorType);

  const isLimit = status === 402 || status === 429 || among(['billing_error', 'rate_limit_error']);
  if (isLimit || NO_CREDIT.test(message)) {
    return wireError('execution.quota', message, resetsAt);
  }
  if (status === 401 || status === 403 || among(['authentication_error', 'permission_error'])) {
    return wireError('auth.required', `${message} (${LOGIN_HINT})`);
  }
  if (status === 408 || status === 409 || (status !== null && status >= 500) || among(PASSING)) {
    return wireError('execution.overloaded', message, resetsAt);
  }
  if (status !== null || among(REFUSED)) return wireError('execution.invalid_request', message);
  return wireError('execution.crashed', message);
}
