/** From what codex says about a failure to one of our codes. It says it in words, a status among them. */
import { type WireError, wireError } from '../../errors.ts';

export const LOGIN_HINT = 'run `codex login` as the user of this server, or set CODEX_API_KEY';

const STATUS = /(?:unexpected status|last status:?) (\d{3})/;
const NOT_LOGGED_IN = /not logged in|please (run|log in)|codex login|missing environment variable/i;
const NO_QUOTA = /insufficient_quota|usage limit|exceeded your current quota/i;
const REFUSED =
  /no rollout found|already has an active writer|invalid session id|unexpected argument|invalid value/i;
/** What codex makes of a 5xx that stays (observed with 0.169.0). */
const OVERLOADED = /experiencing high demand|server_is_overloaded/i;
const UNREACHABLE = /stream disconnected|connection (error|refused|reset)|error sending request|timed? ?out/i;

/** Some messages are the vendor's answer as it came: what a person would read is inside. */
function unwrapped(message: string): { readonly text: string; readonly type: string | null } {
  if (!message.startsWith('{')) return { text: message, type: null };
  try {
    const { error } = JSON.parse(message);
    return { text: String(error.message), type: typeof error.type === 'string' ? error.type : null };
  } catch {
    return { text: message, type: null };
  }
}

/** The HTTP status a message names, or null. */
export function statusIn(message: string): number | null {
  const status = STATUS.exec(message)?.[1];
  return status === undefined ? null : Number(status);
}

/** The error a message stands for; null when it says nothing we know. */
export function knownFailure(said: string): WireError | null {
  const { text: message, type } = unwrapped(said);
  const status = statusIn(message);
  if (NO_QUOTA.test(message) || status === 402) return wireError('execution.quota', message);
  if (status === 401 || status === 403 || (status === null && NOT_LOGGED_IN.test(message))) {
    return wireError('auth.required', `${message} (${LOGIN_HINT})`);
  }
  if (status === 429) return wireError('execution.rate_limited', message);
  if (status !== null && (status >= 500 || status === 408)) return wireError('execution.overloaded', message);
  if ((status !== null && status >= 400) || type === 'invalid_request_error' || REFUSED.test(message)) {
    return wireError('execution.invalid_request', message);
  }
  return OVERLOADED.test(message) || UNREACHABLE.test(message)
    ? wireError('execution.overloaded', message)
    : null;
}
