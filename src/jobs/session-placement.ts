import { maySee, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import { isFinished } from '../protocol/job.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { JobRecords } from '../records/ports.ts';
import type { Copier } from '../store/copier.ts';
import type { SessionOrigin } from '../store/sessions.ts';
import type { Store } from '../store/store.ts';

/**
 * Finds the node that a request must run on: the node of its session. Null: any node; or the
 * session's first job has not ended, and the records find its node later.
 * @throws AppError session.not_found (including sessions of other projects), request.invalid
 */
export type SessionPlacement = (principal: Principal, request: ResolvedPrompt) => Promise<string | null>;

export const sessionClosed = (id: string | null): AppError =>
  new AppError('session.closed', `the session ${id} is closed`);

/**
 * A lookup waits until the store has every change, so a session in use is remembered for a while.
 */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 1000;

interface Place {
  readonly project: string;
  readonly provider: string;
  readonly node: string | null;
  readonly at: number;
}

/** @param now milliseconds of a clock that never goes back */
export function createSessionPlacement(
  store: Pick<Store, 'run'>,
  copier: Pick<Copier, 'catchUp'>,
  records: Pick<JobRecords, 'read'>,
  now: () => number = () => performance.now(),
): SessionPlacement {
  /** By session id; the one used longest ago comes first. */
  const places = new Map<string, Place>();

  async function lookUp(principal: Principal, sessionId: string): Promise<Place> {
    await copier.catchUp();
    const session = (await store.run('sessions.find', { sessionId })) ?? (await openSession(sessionId));
    if (session === null || !maySee(principal, session.project)) {
      throw new AppError('session.not_found', `there is no session ${sessionId}`);
    }
    const { provider, node } = session;
    return { project: session.project, provider, node, at: now() };
  }

  /** The session of a first job that has not ended, or ended after the copies were read. */
  async function openSession(
    sessionId: string,
  ): Promise<Pick<SessionOrigin, 'project' | 'provider' | 'node'> | null> {
    const first = await records.read(sessionId);
    if (first === null || first.sessionId !== sessionId) return null;
    if (isFinished(first.status) && first.nativeSessionId === null) return null;
    return { project: first.project, provider: first.request.provider, node: null };
  }

  function remembered(principal: Principal, sessionId: string): Place | null {
    const place = places.get(sessionId);
    return place !== undefined && maySee(principal, place.project) && now() - place.at < REMEMBER_MS
      ? place
      : null;
  }

  return async (principal, { sessionId, provider }) => {
    if (sessionId === null) return null;
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
    return place.node;
  };
}
