import type { IncomingHttpHeaders } from 'node:http';

/**
 * Whether a browser sent this from a page of this very server, so that its cookie may be taken. SameSite does
 * not tell ports apart: a page on another port of localhost is the same site.
 *
 * A browser says so in Sec-Fetch-Site (secure contexts only) or Origin (every request that changes something).
 * Without both, only a request that changes nothing passes: an address typed into an older browser, or curl.
 */
export function isSameOrigin(headers: IncomingHttpHeaders, changesNothing: boolean): boolean {
  const origin = headers.origin;
  if (origin !== undefined) return hostOf(origin) === (headers.host ?? '').toLowerCase();
  const site = headers['sec-fetch-site'];
  if (site === undefined) return changesNothing;
  return site === 'same-origin' || (site === 'none' && changesNothing);
}

/** The host and port of an origin; null for `null` and for nonsense, which match no Host. */
function hostOf(origin: string): string | null {
  const url = URL.parse(origin);
  return url === null || url.host === '' ? null : url.host;
}

/**
 * Where to go after the login: a path of this server, else `/`. A backslash or a second slash would make it
 * another server's address.
 */
export function localPath(next: unknown): string {
  if (typeof next !== 'string' || !next.startsWith('/')) return '/';
  const base = 'http://local.invalid';
  const url = URL.parse(next, base);
  return url === null || url.origin !== base || url.pathname.startsWith('//')
    ? '/'
    : url.pathname + url.search;
}
