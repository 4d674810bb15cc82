/**
 * The failures of cursor-agent by its words. A failed run has no JSON, only text on stderr. These
 * texts come from its documentation and from users' reports.
 */
import { type WireError, wireError } from '../../errors.ts';

export const LOGIN_HINT = 'set CURSOR_API_KEY, or run `cursor-agent login` as the user of this server';
const TRUST_HINT = 'cursor-agent runs only where the workspace is trusted: name it in BULLPEN_TRUSTED_ROOTS';

const NOT_TRUSTED = /workspace trust required|pass --trust/i;
const NOT_LOGGED_IN =
  /not (?:logged in|authenticated)|unauthenticated|unauthorized|authentication required|(?:api key|token) is invalid|invalid (?:api key|token)|(?:agent|please) (?:login|log in)/i;
const NO_QUOTA =
  /usage limit|spend(?:ing)? limit|out of usage|exceeded your.* quota|payment required|upgrade (?:to|your plan)/i;
const RATE_LIMITED = /rate.?limit|too many requests|resource_exhausted|\b429\b/i;
const OVERLOADED =
  /overloaded|high demand|\[?unavailable\b|ECONNREFUSED|ECONNRESET|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|timed out|connection (?:error|refused|reset|lost|stalled)|fetch failed|\b50[0234]\b/i;
const REFUSED =
  /unknown option|unknown argument|invalid (?:value|argument|model)|cannot use this model|(?:chat|conversation|session)\b.{0,80}\bnot found|no (?:chat|conversation|session)\b.{0,80}\bfound/i;

/** The error behind a text, with the line that names it; null for an unknown text. */
export function knownFailure(text: string): WireError | null {
  const saying = (pattern: RegExp): string | null =>
    text
      .split('\n')
      .find((line) => pattern.test(line))
      ?.trim() ?? null;

  const trust = saying(NOT_TRUSTED);
  if (trust !== null) return wireError('execution.invalid_request', `${trust} (${TRUST_HINT})`);
  const login = saying(NOT_LOGGED_IN);
  if (login !== null) return wireError('auth.required', `${login} (${LOGIN_HINT})`);
  const quota = saying(NO_QUOTA) ?? saying(RATE_LIMITED);
  if (quota !== null) return wireError('execution.quota', quota);
  const refused = saying(REFUSED);
  if (refused !== null) return wireError('execution.invalid_request', refused);
  const overloaded = saying(OVERLOADED);
  return overloaded === null ? null : wireError('execution.overloaded', overloaded);
}
