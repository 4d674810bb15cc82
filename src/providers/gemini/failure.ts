/** From what gemini says about a failure to one of our codes. */
import { type ErrorCode, type WireError, wireError } from '../../errors.ts';

export const LOGIN_HINT = 'run `gemini` once as the user of this server and log in, or set GEMINI_API_KEY';

/** The CLI's own exit codes (packages/core/src/utils/errors.ts). The vendor's statuses are others: 144 to 255 and 17. */
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
const RETRY_AFTER = /(?:retry in|retry after|reset after) ([\d.]+)(ms|s)\b/i;
const USAGE_ERROR = /^(Unknown arguments?|Not enough arguments|Invalid values)/m;

/** What the CLI said of a call that failed. */
export interface ApiFailure {
  readonly text: string;
  /** The vendor's status, as far as it is known. */
  readonly status: number | null;
  /** RFC 3339. */
  readonly resetsAt: string | null;
}

/** An exit code above the CLI's own is the vendor's status, modulo 256. */
function statusOf(exitCode: number | null): number | null {
  if (exitCode === 529 % 256) return 529;
  return exitCode !== null && exitCode >= 400 % 256 && exitCode <= 255 ? exitCode + 256 : null;
}

/** Reads a message. Some carry the vendor's answer as it came. @param at RFC 3339: when it was said */
export function readApiFailure(message: string, exitCode: number | null, at: string | null): ApiFailure {
  const said = WRAPPED.exec(message)?.[1] ?? message;
  const status = statusOf(exitCode);
  const [, amount, unit] = RETRY_AFTER.exec(said) ?? [];
  const delayMs = amount === undefined ? null : Number(amount) * (unit === 'ms' ? 1 : 1000);
  const inner = vendorError(said);
  return {
    text: inner?.message ?? said,
    status: inner?.code ?? status,
    resetsAt: delayMs === null || at === null ? null : later(at, delayMs),
  };
}

function vendorError(said: string): { readonly message: string; readonly code: number | null } | null {
  if (!said.startsWith('{')) return null;
  try {
    const { error } = JSON.parse(said);
    return { message: String(error.message), code: typeof error.code === 'number' ? error.code : null };
  } catch {
    return null; // no JSON after all: shown as it is
  }
}

function later(at: string, delayMs: number): string | null {
  const time = new Date(Date.parse(at) + delayMs);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}

/** The error a failed call stands for; null when it says nothing we know. */
export function apiError({ text, status, resetsAt }: ApiFailure): WireError | null {
  if (status === 401 || status === 403 || BAD_KEY.test(text)) {
    return wireError('auth.required', `${text} (${LOGIN_HINT})`);
  }
  if (status === 402 || NO_QUOTA.test(text)) return wireError('execution.quota', text, resetsAt);
  if (status === 429) return wireError('execution.rate_limited', text, resetsAt);
  if (status !== null && (status >= 500 || status === 408 || status === 499)) {
    return wireError('execution.overloaded', text, resetsAt);
  }
  if (status !== null && status >= 400) return wireError('execution.invalid_request', text);
  return UNREACHABLE.test(text) ? wireError('execution.overloaded', text) : null;
}

/** The error an exit code of the CLI's own stands for; null for another. */
export function exitError(exitCode: number | null, said: string): WireError | null {
  const known = exitCode === null ? undefined : EXIT_CODES[exitCode];
  if (known !== undefined) {
    return wireError(known.code, known.hint === null ? said : `${said} (${known.hint})`);
  }
  return exitCode === 1 && USAGE_ERROR.test(said)
    ? wireError('execution.invalid_request', said.split('\nUsage: ')[0] ?? said)
    : null;
}
