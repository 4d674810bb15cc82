/**
 * The server as the page sees it: the public client with the login cookie, and one live connection.
 */
import { type Client, createClient } from '../client/client.ts';
import { ApiError } from '../client/errors.ts';
import type { Live, LiveStatus, SnapshotTaken } from '../client/live.ts';
import type { Change } from '../protocol/change.ts';
import type { Me, Scope } from '../protocol/key.ts';
import { oneAtATime } from './ui/one-at-a-time.ts';

/** Another try is made soon, so that a server that restarts is seen at once. */
const RESUME_DELAYS_MS = [250, 500, 1000, 2000, 3000];

export const client: Client = createClient({
  url: location.origin,
  token: null,
  resumeDelaysMs: RESUME_DELAYS_MS,
});

let caller: Me | null = null;

/** Who uses the page. Known before anything is shown. */
export function me(): Me {
  if (caller === null) throw new Error('the caller is not known yet');
  return caller;
}

/**
 * Whether the user of the page may do what needs this scope. What one may not do is not offered.
 */
export const may = (scope: Scope): boolean =>
  me().scopes.some(
    (one) =>
      one === 'admin' ||
      one === scope ||
      (scope.endsWith(':read') &&
        (one === scope.replace(/read$/, 'write') || one === scope.replace(/read$/, 'decide'))),
  );

/** Asks who the user is. @throws ApiError auth.unauthenticated: there is no login */
export async function identify(): Promise<void> {
  caller = await client.me();
}

/** Loads the page again when another login of this browser has taken the place of its own. */
async function checkLogin(): Promise<void> {
  const { principal, project } = await client.me();
  if (principal !== me().principal || project !== me().project) location.reload();
}

/** Checks the login whenever the page is looked at. Returns what stops it. */
export function followLogin(): () => void {
  const look = oneAtATime(async () => {
    if (document.visibilityState !== 'visible') return;
    try {
      await checkLogin();
    } catch (error) {
      if (isUnauthenticated(error)) toLogin(); // else the server is away, and the page says so
    }
  });
  addEventListener('focus', look);
  document.addEventListener('visibilitychange', look);
  return () => {
    removeEventListener('focus', look);
    document.removeEventListener('visibilitychange', look);
  };
}

export const toLogin = (): void =>
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);

export const isUnauthenticated = (error: unknown): boolean =>
  error instanceof ApiError && error.code === 'auth.unauthenticated';

/** What has changed on the server. A snapshot: anything may have. */
export type Changed = Change | SnapshotTaken;

/** Whether a change may change the list of sessions. */
export const isOfSession = (change: Changed): boolean =>
  change.kind === 'snapshot' || ('sessionId' in change && change.sessionId !== null);

const readers = new Set<(change: Changed) => void>();
const statusReaders = new Set<() => void>();
let connection: Live | null = null;
let present: LiveStatus['state'] | 'connecting' = 'connecting';

/** The one live connection of this tab. It is opened with the first use, and never given up. */
export function live(): Live {
  connection ??= client.live({
    async auth() {
      await checkLogin(); // refused where the login is over: a WebSocket would not say why
      return null;
    },
    patienceMs: Number.POSITIVE_INFINITY,
    onStatus(status) {
      present = status.state;
      if (status.state === 'ended' && isUnauthenticated(status.error)) toLogin();
      for (const read of statusReaders) read();
    },
  });
  return connection;
}

/** `connecting`, `connected`, `reconnecting` (the server is away) or `ended`. */
export const connectionState = (): typeof present => present;

export function onConnectionState(read: () => void): () => void {
  statusReaders.add(read);
  return () => void statusReaders.delete(read);
}

/** Calls `read` with every change on the server that the user may see, at least once each. */
export function onChange(read: (change: Changed) => void): () => void {
  readers.add(read);
  return () => void readers.delete(read);
}

/** Reads changes until the login ends. A caller without `jobs:read` gets none. */
export async function followChanges(): Promise<void> {
  if (!may('jobs:read')) return void live();
  try {
    for await (const change of live().changes()) for (const read of readers) read(change);
  } catch (error) {
    if (isUnauthenticated(error)) toLogin();
    else throw error;
  }
}
