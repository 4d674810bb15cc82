import { maySee, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { JobRecords } from '../records/ports.ts';
import type { SessionRecords } from '../records/session-ports.ts';
import type { Copier } from '../store/copier.ts';
import type { Store } from '../store/store.ts';

/**
 * Finds the project that the job of a request belongs to, and the node that it must run on: those
 * of its session. Without a session the project is the caller's. An admin may use the session of
 * another project. `node` null: any node, because no CLI has begun the session; or it may be about
 * to, and the records find its node later.
 * @throws AppError session.not_found (including sessions of other projects), session.closed,
 *   session.wrong_kind, request.invalid
 */
export type SessionPlacement = (
  principal: Principal,
  request: ResolvedPrompt,
) => Promise<{ readonly project: string; readonly node: string | null }>;

export const sessionClosed = (id: string | null): AppError =>
  new AppError('session.closed', `the session ${id} is closed`);

/**
 * A lookup waits until the store has every change, so a session in use is remembered for a while.
 */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 1000;

interface Found {
  readonly kind: 'chat' | 'terminal';
  readonly project: string;
  readonly provider: string;
  readonly node: string | null;
  readonly closed: boolean;
}
interface Place extends Found {
  readonly at: number;
}

/**
 * Makes the record of a session that Redis no longer has, or that never had one, from this node's
 * copies: its turns and events count on. One whose only job Redis still has needs nothing.
 */
export type ReviveSession = (id: string) => Promise<void>;

export const createReviveSession =
  (
    store: Pick<Store, 'run'>,
    records: Pick<JobRecords, 'read'>,
    sessionRecords: Pick<SessionRecords, 'restore'>,
  ): ReviveSession =>
  async (id) => {
    const copy = await store.run('sessions.copy', { id });
    if (copy === null || (copy.record.turns < 2 && (await records.read(id)) !== null)) return;
    await sessionRecords.restore(copy.record, copy.entries);
  };

export interface SessionPlacementOptions {
  readonly store: Pick<Store, 'run'>;
  readonly copier: Pick<Copier, 'catchUp' | 'onSessionsEnded'>;
  readonly records: Pick<JobRecords, 'read'>;
  readonly sessionRecords: Pick<SessionRecords, 'read'>;
  readonly revive: ReviveSession;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

export function createSessionPlacement({
  store,
  copier,
  records,
  sessionRecords,
  revive,
  now = () => performance.now(),
}: SessionPlacementOptions): SessionPlacement {
  /** By session id; the one used longest ago comes first. */
  const places = new Map<string, Place>();
  // A job for a session that another server has deleted would make it again.
  copier.onSessionsEnded((ids) => {
    for (const id of ids) places.delete(id);
  });

  async function lookUp(principal: Principal, sessionId: string): Promise<Place> {
    const known = await recorded(sessionId);
    const found = known ?? (await copied(sessionId)) ?? (await openSession(sessionId));
    if (found === null || !maySee(principal, found.project)) {
      throw new AppError('session.not_found', `there is no session ${sessionId}`);
    }
    if (found.kind === 'terminal')
      throw new AppError('session.wrong_kind', 'a terminal takes input instead of prompts');
    if (found.closed) throw sessionClosed(sessionId);
    if (known === null) await revive(sessionId);
    return { ...found, at: now() };
  }

  async function recorded(sessionId: string): Promise<Found | null> {
    const record = await sessionRecords.read(sessionId);
    if (record === null) return null;
    const { kind, project, options, node, status } = record;
    return { kind, project, provider: options.provider, node, closed: status === 'closed' };
  }

  async function copied(sessionId: string): Promise<Found | null> {
    await copier.catchUp();
    const origin = await store.run('sessions.find', { sessionId });
    if (origin !== null) {
      const { project, provider, node } = origin;
      return { kind: 'chat', project, provider, node, closed: false };
    }
    const row = await store.run('sessions.get', { id: sessionId });
    return (
      row && {
        ...{ kind: row.kind, project: row.project, provider: row.provider, node: null },
        closed: row.status === 'closed',
      }
    );
  }

  /** The session of a first job that the copies do not have yet. */
  async function openSession(sessionId: string): Promise<Found | null> {
    const first = await records.read(sessionId);
    if (first === null || first.sessionId !== sessionId) return null;
    const { project, request } = first;
    return { kind: 'chat', project, provider: request.provider, node: null, closed: false };
  }

  function remembered(principal: Principal, sessionId: string): Place | null {
    const place = places.get(sessionId);
    return place !== undefined && maySee(principal, place.project) && now() - place.at < REMEMBER_MS
      ? place
      : null;
  }

  return async (principal, { sessionId, provider }) => {
    if (sessionId === null) return { project: principal.project, node: null };
    const place = remembered(principal, sessionId) ?? (await lookUp(principal, sessionId));
    if (place.provider !== provider) {
      throw new AppError('request.invalid', `the session belongs to ${place.provider}`, {
        problems: [{ path: '/sessionId', message: `belongs to ${place.provider}` }],
      });
    }
    places.delete(sessionId);
    if (place.node !== null) places.set(sessionId, place);
    const [oldest] = places.keys();
    if (places.size > MAX_REMEMBERED && oldest !== undefined) places.delete(oldest);
    return { project: place.project, node: place.node };
  };
}
