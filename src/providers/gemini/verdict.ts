/**
 * How a run ended, by the rule: success = a `result` line AND its status `success` AND exit code
 * 0.
 */
import { type ErrorCode, type WireError, wireError } from '../../errors.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { Usage } from '../../protocol/outcome.ts';
import { howItEnded, vendorError } from '../endings.ts';
import type { Verdict } from '../provider.ts';
import type { ResultLine } from './lines.ts';

/** Everything known about a finished run. */
export interface GeminiEnd {
  readonly text: string;
  readonly nativeSessionId: string | null;
  readonly turns: number;
  readonly usage: Usage | null;
  readonly result: ResultLine | null;
  /** The last `error` line. */
  readonly lastError: string | null;
  readonly permissionDenials: Verdict['permissionDenials'];
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** Total: gives a verdict for every ending, including that of a killed run. */
export function geminiVerdict(end: GeminiEnd): Verdict {
  return {
    text: end.text,
    structured: null,
    nativeSessionId: end.nativeSessionId,
    turns: end.turns === 0 ? null : end.turns,
    usage: end.usage,
    permissionDenials: end.permissionDenials,
    error: errorOf(end),
  };
}

function errorOf(end: GeminiEnd): WireError | null {
  const { result, exit, stderrTail } = end;
  if (result === null) return unfinished(end);
  if (result.status !== 'success') return failed(end, result);
  if (exit.code === 0) return null;
  const how = howItEnded(exit, withoutNoise(stderrTail));
  return wireError('execution.crashed', `gemini answered and then ${how}`);
}

function failed({ lastError, exit, stderrTail }: GeminiEnd, result: ResultLine): WireError {
  const message = result.error?.message ?? lastError ?? 'gemini ended with an error it did not name';
  const own = exitError(exit.code, message);
  if (own !== null) return own;
  const delayMs = delayIn(stderrTail) ?? delayInWords(message);
  const failure = readApiFailure(message, exit.code, delayMs, result.timestamp ?? null);
  // With exit code 0 the answer was unusable: empty, blocked, cut short.
  const otherwise = exit.code === 0 ? 'execution.bad_output' : 'execution.crashed';
  return apiError(failure) ?? wireError(otherwise, failure.text);
}

function unfinished({ exit, stderrTail }: GeminiEnd): WireError {
  // The CLI exits with 0 when it is terminated, too.
  if (exit.code === 0) return wireError('execution.bad_output', 'gemini ended without a result');
  const stderr = withoutNoise(stderrTail);
  const message = `gemini ${howItEnded(exit, stderr)}`;
  return (
    exitError(exit.code, stderr === '' ? message : stderr.slice(-MAX_STDERR)) ??
    wireError('execution.crashed', message)
  );
}

/** Lines of every run, including one that succeeds (observed with gemini 0.61.0). */
const NOISE = [
  /^Warning: (256-color|True color)/,
  /^Ripgrep is not available/,
  /^\[STARTUP\]/,
  /^YOLO mode is enabled/,
  /^Loaded cached credentials/,
  /^\(node:\d+\)|^\(Use `node --trace/,
  /^ {4}at /,
];
const MAX_STDERR = 500;

/** What stderr reports about a failure, without the usage text after it. */
function withoutNoise(stderrTail: string): string {
  const lines = stderrTail
    .split('\n')
    .filter((line) => line.trim() !== '' && !NOISE.some((one) => one.test(line)));
  const usage = lines.findIndex((line) => line.startsWith('Usage: gemini'));
  return lines
    .slice(0, usage > 0 ? usage : undefined)
    .join('\n')
    .trim();
}

export const LOGIN_HINT = 'run `gemini` once as the user of this server and log in, or set GEMINI_API_KEY';

/**
 * The CLI's own exit codes (packages/core/src/utils/errors.ts). The vendor's statuses are 144 to
 * 255, and 17.
 */
const EXIT_CODES: Readonly<Record<number, { readonly code: ErrorCode; readonly hint: string | null }>> = {
  41: { code: 'auth.required', hint: LOGIN_HINT },
  42: { code: 'execution.invalid_request', hint: null },
  44: { code: 'execution.invalid_request', hint: null },
  52: { code: 'execution.invalid_request', hint: null },
  53: { code: 'execution.max_turns', hint: null },
  55: {
    code: 'execution.invalid_request',
    hint: 'add its folder to trustedRoots, or set security.folderTrust.enabled to false in ~/.gemini/settings.json',
  },
};

const WRAPPED = /^\[API Error: ([\s\S]*)\]/;
const BAD_KEY = /API_KEY_INVALID|API key not valid|API key expired/i;
const NO_QUOTA =
  /exhausted your (daily )?(quota|capacity)|exceeded your current quota|limit:\s*0(?!\d|\.\d)|INSUFFICIENT_G1_CREDITS/i;
const UNREACHABLE = /fetch failed|ECONN|ENOTFOUND|ETIMEDOUT|socket hang up|timed? ?out/i;
/** A field of the error that the CLI prints: what the vendor's RetryInfo asks for. */
const RETRY_DELAY = /^\s*retryDelayMs: ([\d.]+),?$/m;
const RETRY_AFTER = /(?:retry in|retry after|reset after) ([\d.]+)(ms|s)\b/i;
const USAGE_ERROR = /^(Unknown arguments?|Not enough arguments|Invalid values)/m;

/** A failed call of the API. */
interface ApiFailure {
  readonly text: string;
  /** The vendor's status; null: not known. */
  readonly status: number | null;
  /** RFC 3339. */
  readonly resetsAt: string | null;
}

/** An exit code above the CLI's own codes is the vendor's status, modulo 256. */
function statusOf(exitCode: number | null): number | null {
  if (exitCode === 529 % 256) return 529;
  return exitCode !== null && exitCode >= 400 % 256 && exitCode <= 255 ? exitCode + 256 : null;
}

/** Milliseconds until the vendor takes another call, by a field of the error; null: not known. */
function delayIn(stderrTail: string): number | null {
  const delay = RETRY_DELAY.exec(stderrTail)?.[1];
  return delay === undefined ? null : Number(delay);
}

/** The same by the words of the error, for a stderr that was cut. */
function delayInWords(message: string): number | null {
  const [, amount, unit] = RETRY_AFTER.exec(message) ?? [];
  return amount === undefined ? null : Number(amount) * (unit === 'ms' ? 1 : 1000);
}

/** @param at RFC 3339: time of the message */
function readApiFailure(
  message: string,
  exitCode: number | null,
  delayMs: number | null,
  at: string | null,
): ApiFailure {
  const text = WRAPPED.exec(message)?.[1] ?? message;
  const inner = vendorError(text);
  return {
    text: inner?.message ?? text,
    status: inner?.code ?? statusOf(exitCode),
    resetsAt: delayMs === null || at === null ? null : later(at, delayMs),
  };
}

function later(at: string, delayMs: number): string | null {
  const time = new Date(Date.parse(at) + delayMs);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}

/** The error behind a failed call; null for an unknown one. */
function apiError({ text, status, resetsAt }: ApiFailure): WireError | null {
  if (status === 401 || status === 403 || BAD_KEY.test(text)) {
    return wireError('auth.required', `${text} (${LOGIN_HINT})`);
  }
  if (status === 402 || status === 429 || (status === null && NO_QUOTA.test(text))) {
    return wireError('execution.quota', text, resetsAt);
  }
  if (status !== null && (status >= 500 || status === 408 || status === 499)) {
    return wireError('execution.overloaded', text, resetsAt);
  }
  if (status !== null && status >= 400) return wireError('execution.invalid_request', text);
  return UNREACHABLE.test(text) ? wireError('execution.overloaded', text) : null;
}

/** The error of one of the CLI's own exit codes; null for another code. */
function exitError(exitCode: number | null, message: string): WireError | null {
  const known = exitCode === null ? undefined : EXIT_CODES[exitCode];
  if (known !== undefined) {
    return wireError(known.code, known.hint === null ? message : `${message} (${known.hint})`);
  }
  return exitCode === 1 && USAGE_ERROR.test(message)
    ? wireError('execution.invalid_request', message.split('\nUsage: ')[0] ?? message)
    : null;
}
