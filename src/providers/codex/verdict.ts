/**
 * How a run ended, by the rule: success = `turn.completed` AND no `turn.failed` AND exit code 0.
 */
import { type WireError, wireError } from '../../errors.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import { howItEnded, vendorError } from '../endings.ts';
import { parseJson } from '../json.ts';
import type { Verdict } from '../provider.ts';

interface Failure {
  readonly message: string;
  /** Its kind, where codex names one. */
  readonly codexErrorInfo?: unknown;
  /** When the limits that refused the turn are over. Left out, or null: not known. */
  readonly resetsAt?: string | null;
}

/** Everything known about a finished run. */
export interface CodexEnd {
  readonly request: ResolvedPrompt;
  readonly text: string;
  readonly threadId: string | null;
  readonly turns: number;
  readonly usage: Usage | null;
  readonly completed: boolean;
  /** How its turn failed; null: it did not. */
  readonly failure: Failure | null;
  /** Whether the turn was stopped from outside. Left out: no. */
  readonly interrupted?: boolean;
  readonly hopeless: WireError | null;
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** Total: gives a verdict for every ending, including that of a killed run. */
export function codexVerdict(end: CodexEnd): Verdict {
  const structured = end.request.outputSchema === null ? null : (parseJson(end.text) ?? null);
  return {
    text: end.text,
    structured,
    nativeSessionId: end.threadId,
    turns: end.turns === 0 ? null : end.turns,
    usage: end.usage,
    permissionDenials: [],
    error: errorOf(end, structured),
  };
}

function errorOf(end: CodexEnd, structured: unknown): WireError | null {
  if (end.failure !== null) {
    const { message } = end.failure;
    return (
      namedFailure(end.failure) ??
      knownFailure(message) ??
      end.hopeless ??
      wireError('execution.crashed', message)
    );
  }
  if (end.interrupted === true) return wireError('execution.interrupted', 'the turn was interrupted');
  if (end.hopeless !== null) return end.hopeless;
  if (end.exit.code !== 0) return failedExit(end);
  if (!end.completed) return wireError('execution.bad_output', 'codex ended without completing its turn');
  if (end.request.outputSchema !== null && structured === null) {
    return wireError('execution.bad_output', 'codex ended without the structured output that was asked for');
  }
  return null;
}

/** The exit code of clap, its parser of the command line. */
const USAGE_ERROR = 2;

function failedExit({ exit, stderrTail, completed }: CodexEnd): WireError {
  const message = `codex ${howItEnded(exit, stderrTail)}`;
  if (completed) return wireError('execution.crashed', message);
  if (exit.code === USAGE_ERROR) return wireError('execution.invalid_request', message);
  const known = exit.signal === null ? knownFailure(stderrTail) : null;
  return known === null ? wireError('execution.crashed', message) : { ...known, message };
}

export const LOGIN_HINT = 'run `codex login` as the user of this server, or set CODEX_API_KEY';

const STATUS = /(?:unexpected status|last status:?) (\d{3})/;
const NOT_LOGGED_IN = /not logged in|please (run|log in)|codex login|missing environment variable/i;
/** Where the thread's file does not name the kind of the failure: see `transcript.ts`. */
const NO_QUOTA = /insufficient_quota|usage limit|exceeded your current quota/i;
const REFUSED =
  /no rollout found|already has an active writer|invalid session id|unexpected argument|invalid value/i;
/** codex's words for a repeated 5xx (observed with 0.169.0). */
const OVERLOADED = /experiencing high demand|server_is_overloaded/i;
const UNREACHABLE = /stream disconnected|connection (error|refused|reset)|error sending request|timed? ?out/i;

/** The HTTP status in a message, or null. */
export function statusIn(message: string): number | null {
  const status = STATUS.exec(message)?.[1];
  return status === undefined ? null : Number(status);
}

/** The error that codex names, as `codexErrorInfo` of app-server; null: none that we know. */
function namedFailure({ message, codexErrorInfo, resetsAt = null }: Failure): WireError | null {
  switch (codexErrorInfo) {
    case 'usageLimitExceeded':
    case 'rateLimitExceeded':
      return wireError('execution.quota', message, resetsAt);
    case 'serverOverloaded':
    case 'internalServerError':
      return wireError('execution.overloaded', message);
    case 'unauthorized':
      return wireError('auth.required', `${message} (${LOGIN_HINT})`);
    case 'contextWindowExceeded':
    case 'badRequest':
    case 'modelNotFound':
      return wireError('execution.invalid_request', message);
    default:
      return null;
  }
}

/** The error behind a message, which names it only in words; null for an unknown message. */
function knownFailure(text: string): WireError | null {
  const { message, type } = vendorError(text) ?? { message: text, type: null };
  const status = statusIn(message);
  if (NO_QUOTA.test(message) || status === 402 || status === 429)
    return wireError('execution.quota', message);
  if (status === 401 || status === 403 || (status === null && NOT_LOGGED_IN.test(message))) {
    return wireError('auth.required', `${message} (${LOGIN_HINT})`);
  }
  if (status !== null && (status >= 500 || status === 408)) return wireError('execution.overloaded', message);
  if ((status !== null && status >= 400) || type === 'invalid_request_error' || REFUSED.test(message)) {
    return wireError('execution.invalid_request', message);
  }
  return OVERLOADED.test(message) || UNREACHABLE.test(message)
    ? wireError('execution.overloaded', message)
    : null;
}
