/**
 * How a run ended, by the rule: success = a `result` of the prompt AND not an error AND exit code
 * 0.
 */
import { type ErrorCode, type WireError, wireError } from '../../errors.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { RateLimitEvent } from '../../protocol/event.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import { howItEnded } from '../endings.ts';
import type { Verdict } from '../provider.ts';
import type { ResultLine } from './lines.ts';
import { type FoldedTurns, isDeferred, isFailure, type Turn } from './turns.ts';

/** Everything known about a finished run. */
export interface ClaudeEnd {
  readonly request: ResolvedPrompt;
  readonly turns: FoldedTurns;
  /** Calls that were denied only until a person answers, by id. */
  readonly parked: ReadonlySet<string>;
  /** The main agent's words, perhaps incomplete. */
  readonly partialText: string;
  readonly nativeSessionId: string | null;
  readonly usage: Usage | null;
  /** The API error in a message of a turn without a result, unless a later call went well. */
  readonly apiError: ApiError | null;
  /** Why the prompt never reached the model; null: it did, as far as the CLI reports. */
  readonly blocked: WireError | null;
  /** Why going on was pointless. */
  readonly hopeless: WireError | null;
  /** The limit that the CLI reported last; null: none refused the run. */
  readonly limit: RateLimitEvent | null;
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** An error of the vendor's API in an assistant message. */
export interface ApiError {
  /** HTTP status. */
  readonly status: number | null;
  /** `usage_limit_reached`: a limit of the plan. Other names, and null, mean nothing here. */
  readonly name: string | null;
  /** `authentication_failed`, `rate_limit`, `billing_error` … */
  readonly errorClass: string | null;
  /** For a person. */
  readonly message: string;
}

/** Total: gives a verdict for every ending, including that of a killed run. */
export function claudeVerdict(end: ClaudeEnd): Verdict {
  const { deciding, own, text, structured, modelTurns } = end.turns;
  const permissionDenials = denials(own, end.parked);
  const error = deciding === null ? withoutResult(end) : finished(end, deciding, permissionDenials);
  return {
    // If the CLI did not ask the model, its text is in the error.
    text: error !== null && (text === '' || deciding?.result.num_turns === 0) ? end.partialText : text,
    structured,
    nativeSessionId: end.nativeSessionId,
    turns: modelTurns,
    usage: end.usage,
    permissionDenials,
    ...limitOf(end, error),
  };
}

/** Some limits hold for one family of models, the others for the whole plan. */
export const limitedModel = (limit: string): string | null =>
  /^seven_day_(opus|sonnet)$/.exec(limit)?.[1] ?? null;

/** The error, with what the CLI reported about the limit behind it. */
function limitOf({ limit }: ClaudeEnd, error: WireError | null): Pick<Verdict, 'error' | 'limitedModel'> {
  if (limit === null || error?.code !== 'execution.quota') return { error };
  return { error: { ...error, resetsAt: limit.resetsAt }, limitedModel: limitedModel(limit.limit ?? '') };
}

function finished(
  end: ClaudeEnd,
  { result, apiError }: Turn,
  denied: Verdict['permissionDenials'],
): WireError | null {
  const { exit, request, turns } = end;
  if (isFailure(result)) {
    const message = failureText(result, apiError?.message ?? null);
    const signs: FailureSigns = {
      status: result.api_error_status ?? apiError?.status ?? null,
      name: result.api_error ?? apiError?.name ?? null,
      errorClass: apiError?.errorClass ?? null,
      subtype: result.subtype,
      terminalReason: result.terminal_reason ?? null,
      message,
    };
    return knownFailure(signs) ?? end.hopeless ?? wireError('execution.crashed', message);
  }
  if (request.onPermissionDenied === 'ask' && isDeferred(result)) {
    const tool = result.deferred_tool_use?.name ?? 'a call';
    return wireError('execution.awaiting_approval', `${tool} waits for the approval of a person`);
  }
  const isAsked = (result.num_turns ?? 1) > 0;
  const why = isAsked
    ? unfinished(result, turns.text !== '' || turns.structured !== null)
    : notAsked(end, result);
  if (why !== null) return why;
  // The CLI exits with 1 when its last turn failed, even if that turn was not the prompt's.
  if (exit.code !== 0 && !(exit.code === 1 && turns.failedLater)) {
    const how = howItEnded(exit, end.stderrTail);
    return wireError('execution.crashed', `claude answered and then ${how}`);
  }
  if (request.onPermissionDenied === 'fail' && denied.length > 0) {
    const tools = [...new Set(denied.map(({ tool }) => tool))].join(', ');
    return wireError('execution.permission_denied', `not allowed: ${tools}`);
  }
  if (request.outputSchema !== null && turns.structured === null) {
    return wireError('execution.bad_output', 'claude ended without the structured output that was asked for');
  }
  return null;
}

/** A result without a model call fails only if the prompt was kept from the model. */
const notAsked = ({ blocked }: ClaudeEnd, result: ResultLine): WireError | null =>
  blocked ?? whyBlocked(result.result ?? '', false) ?? unfinished(result, true);

function withoutResult({ hopeless, exit, turns, apiError, stderrTail }: ClaudeEnd): WireError {
  if (hopeless !== null) return hopeless;
  if (exit.code === 0) {
    const what = turns.modelTurns === null ? 'a result' : 'an answer to the prompt';
    return wireError('execution.bad_output', `claude ended without ${what}`);
  }
  const signs = { subtype: null, terminalReason: null };
  const known = apiError === null ? null : knownFailure({ ...apiError, ...signs });
  const crash = wireError('execution.crashed', `claude ${howItEnded(exit, stderrTail)}`);
  return known ?? stderrFailure(stderrTail) ?? crash;
}

function failureText(last: ResultLine, fallback: string | null): string {
  const text = last.result || last.errors?.join('; ') || fallback;
  return text || `claude ended with ${last.subtype}`;
}

function denials(own: readonly Turn[], parked: ReadonlySet<string>): Verdict['permissionDenials'] {
  const seen = new Set(parked);
  return own
    .flatMap(({ result }) => result.permission_denials ?? [])
    .filter(({ tool_use_id: id }) => {
      if (typeof id !== 'string') return true;
      return !seen.has(id) && seen.add(id);
    })
    .map((denial) => ({ tool: denial.tool_name, input: denial.tool_input ?? null }));
}

const TOO_LONG = 'the conversation has reached the limit of the model';

/**
 * By `terminal_reason` (claude 2.1.329): endings that the CLI calls a success although the agent
 * has not finished. `api_error` and the limits are usually reported as failures.
 */
const UNFINISHED: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  tool_deferred: ['execution.permission_denied', 'a hook put off a tool call, which has not run'],
  tool_deferred_unavailable: [
    'execution.permission_denied',
    'a tool call that was put off can no longer run',
  ],
  hook_stopped: ['execution.invalid_request', "a hook of the CLI's user stopped the run"],
  aborted_streaming: ['execution.crashed', 'the answer was interrupted'],
  aborted_tools: ['execution.crashed', 'a tool was interrupted'],
  blocking_limit: ['execution.invalid_request', TOO_LONG],
  prompt_too_long: ['execution.invalid_request', TOO_LONG],
  rapid_refill_breaker: ['execution.invalid_request', TOO_LONG],
  image_error: ['execution.invalid_request', 'an image cannot be used'],
  malformed_tool_use_exhausted: ['execution.bad_output', 'the model called tools that cannot be read'],
  structured_output_retry_exhausted: [
    'execution.bad_output',
    'the model gave no answer that fits the schema',
  ],
  model_error: ['execution.crashed', 'the model failed'],
  turn_setup_failed: ['execution.crashed', 'the turn could not be set up'],
  background_requested: ['execution.crashed', 'the turn was moved to the background'],
  api_error: ['execution.crashed', 'the API failed'],
  max_turns: ['execution.max_turns', 'the execution used its turns'],
  budget_exhausted: ['execution.budget', 'the execution spent its budget'],
};

/**
 * The failure in a result without an error; null: it is a success. `stop_hook_prevented` is one:
 * the agent had finished when the hook ended the turn. An unknown reason is a success only if
 * there is an answer.
 */
function unfinished(result: ResultLine, hasAnswer: boolean): WireError | null {
  const reason = result.terminal_reason ?? (isDeferred(result) ? 'tool_deferred' : 'completed');
  if (reason === 'completed' || reason === 'stop_hook_prevented') return null;
  const known = Object.hasOwn(UNFINISHED, reason) ? UNFINISHED[reason] : undefined;
  if (known === undefined) {
    return hasAnswer ? null : wireError('execution.bad_output', `claude ended without an answer: ${reason}`);
  }
  const [code, what] = known;
  const tool = result.deferred_tool_use?.name;
  return wireError(
    code,
    `claude ended before it had finished: ${what} (${tool ? `${reason}: ${tool}` : reason})`,
  );
}

/** The CLI's words, for versions that have no other sign. */
const BLOCKED = /^(UserPromptSubmit operation blocked by hook|Operation stopped by hook):/;
const MAX_WHY = 500;

/**
 * Why a prompt never reached the model, without the prompt, which the CLI repeats; null: this text
 * is about something else.
 * @param certain whether the text is known to be about that
 */
export function whyBlocked(text: string, certain: boolean): WireError | null {
  if (!certain && !BLOCKED.test(text)) return null;
  const [why = ''] = text.split('\n\nOriginal prompt:');
  const message = why.replaceAll(/\s+/g, ' ').trim().slice(0, MAX_WHY);
  return wireError('execution.invalid_request', `the prompt was not passed to the model: ${message}`);
}

/** Everything a failed run shows about the reason. */
interface FailureSigns extends ApiError {
  readonly subtype: string | null;
  readonly terminalReason: string | null;
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
/**
 * The CLI refuses its command line or the session. Most of these are on stderr, without any JSON.
 */
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

/** The error behind these signs; null when none of them is known. */
function knownFailure(signs: FailureSigns): WireError | null {
  const { status, name, errorClass, subtype, terminalReason, message } = signs;
  const is = (kind: string, reason: string): boolean => subtype === kind || terminalReason === reason;
  const among = (classes: readonly string[]): boolean => errorClass !== null && classes.includes(errorClass);

  if (terminalReason === 'tool_deferred_unavailable')
    return wireError('execution.permission_denied', message);
  if (is('error_max_turns', 'max_turns')) return wireError('execution.max_turns', message);
  if (is('error_max_budget_usd', 'budget_exhausted')) return wireError('execution.budget', message);
  if (is('error_max_structured_output_retries', 'structured_output_retry_exhausted')) {
    return wireError('execution.bad_output', message);
  }
  const isLimit = name === 'usage_limit_reached' || among(['billing_error', 'rate_limit']);
  if (isLimit || status === 402 || status === 429 || NO_CREDIT.test(message)) {
    return wireError('execution.quota', message);
  }
  const notLoggedIn = status === null && NOT_LOGGED_IN.test(message);
  if (status === 401 || status === 403 || among(AUTH_CLASSES) || notLoggedIn) {
    return wireError('auth.required', `${message} (${LOGIN_HINT})`);
  }
  if (INVALID_REASONS.some((reason) => reason === terminalReason) || among(INVALID_CLASSES)) {
    return wireError('execution.invalid_request', message);
  }
  if (status !== null && status >= 400) {
    const mayPass = status >= 500 || status === 408;
    return wireError(mayPass ? 'execution.overloaded' : 'execution.invalid_request', message);
  }
  const unreachable = terminalReason === 'api_error' && UNREACHABLE.test(message);
  if (among(['overloaded', 'server_error']) || unreachable) return wireError('execution.overloaded', message);
  if (errorClass === 'max_output_tokens') return wireError('execution.bad_output', message);
  return refusedCommand(message);
}

/** A refusal before the run began, from the CLI's own text. */
function refusedCommand(text: string): WireError | null {
  const line = text.split('\n').find((one) => REFUSED.some((known) => known.test(one)));
  return line === undefined ? null : wireError('execution.invalid_request', line.trim());
}

/** The error of a run that wrote only to stderr. */
function stderrFailure(stderrTail: string): WireError | null {
  const login = stderrTail.split('\n').find((line) => NOT_LOGGED_IN.test(line));
  const required = login === undefined ? null : wireError('auth.required', `${login.trim()} (${LOGIN_HINT})`);
  return refusedCommand(stderrTail) ?? required;
}
