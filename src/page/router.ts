/** The address bar is the state of the page: a path, and the filters of a list as its query. */
import { useSyncExternalStore } from 'preact/compat';

export interface Route {
  readonly path: string;
  readonly query: URLSearchParams;
}

const MOVED = 'bullpen:moved';

function listen(changed: () => void): () => void {
  addEventListener('popstate', changed);
  addEventListener(MOVED, changed);
  return () => {
    removeEventListener('popstate', changed);
    removeEventListener(MOVED, changed);
  };
}

/** Where the page is. The component renders again when that changes. */
export function useRoute(): Route {
  const href = useSyncExternalStore(listen, () => location.pathname + location.search);
  const url = new URL(href, location.origin);
  return { path: url.pathname, query: url.searchParams };
}

/**
 * Opens another place of the page. `replace`: the back button does not return to the present one.
 */
export function go(href: string, { replace = false } = {}): void {
  if (needsDocument(href)) {
    location.assign(href);
    return;
  }
  if (replace) history.replaceState(null, '', href);
  else {
    leave();
    history.pushState(null, '', href);
    scrollTo(0, 0);
  }
  dispatchEvent(new Event(MOVED));
}

const PLACES = /^\/($|(jobs|batches|sessions|terminals|usage|system)(\/|$))/;

/** What the server answers itself: the documentation, files, other apps. */
const needsDocument = (href: string): boolean => !PLACES.test(new URL(href, location.href).pathname);

/** Remembers how far the present place is scrolled, for the way back. */
const leave = (): void => history.replaceState({ scrollY }, '');

const RETURN_WITHIN_MS = 1000;

/**
 * Scrolls to where a place was left, once it is long enough again. The browser itself would try it
 * before the screen is there.
 */
function returnTo(state: unknown): void {
  const wanted = typeof state === 'object' && state !== null && 'scrollY' in state ? state.scrollY : null;
  if (typeof wanted !== 'number') return;
  const until = performance.now() + RETURN_WITHIN_MS;
  const reader = new AbortController();
  for (const kind of ['wheel', 'touchstart', 'keydown'])
    addEventListener(kind, () => reader.abort(), { signal: reader.signal, passive: true });
  const step = (): void => {
    if (reader.signal.aborted) return;
    scrollTo(0, wanted);
    if (Math.abs(scrollY - wanted) > 1 && performance.now() < until) requestAnimationFrame(step);
    else reader.abort();
  };
  requestAnimationFrame(step);
}

/**
 * Clicks on links of the page change the place without loading a document, and the way back leads
 * to where one was.
 */
export function followLinks(): void {
  history.scrollRestoration = 'manual';
  addEventListener('popstate', ({ state }) => returnTo(state));
  addEventListener('pagehide', leave);
  returnTo(history.state);
  addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a[href]') : null;
    if (!(link instanceof HTMLAnchorElement) || link.target !== '' || link.hasAttribute('download')) return;
    if (link.origin !== location.origin || needsDocument(link.href) || isOfThisDocument(link)) return;
    event.preventDefault();
    go(link.pathname + link.search + link.hash);
  });
}

/** The browser itself goes to a part of the document, with the focus. */
const isOfThisDocument = ({ hash, pathname, search }: HTMLAnchorElement): boolean =>
  hash !== '' && pathname === location.pathname && search === location.search;

/** The present address with some parts of its query changed; null removes a part. */
export function withQuery(
  { path, query }: Route,
  changes: Readonly<Record<string, string | readonly string[] | null>>,
): string {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const one of value === null ? [] : [value].flat()) next.append(name, one);
  }
  const text = next.toString();
  return text === '' ? path : `${path}?${text}`;
}
