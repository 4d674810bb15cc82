import { maySee, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Copier } from '../store/copier.ts';
import type { Store } from '../store/store.ts';

/**
 * Finds the node that a request must run on: the node of its session. Null: any node.
 * @throws AppError session.not_found (including sessions of other owners), request.invalid
 */
export type SessionPlacement = (principal: Principal, request: ResolvedPrompt) => Promise<string | null>;

/**
 * A lookup waits until the store has every change, so a session in use is remembered for a while.
 */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 1000;

interface Place {
  readonly principalId: string;
  readonly provider: string;
  readonly node: string | null;
  readonly at: number;
}

/** @param now milliseconds of a clock that never goes back */
export function createSessionPlacement(
  store: Pick<Store, 'run'>,
  copier: Pick<Copier, 'catchUp'>,
  now: () => number = () => performance.now(),
): SessionPlacement {
  /** By session id; the one used longest ago comes first. */
  const places = new Map<string, Place>();

  async function lookUp(principal: Principal, sessionId: string): Promise<Place> {
    await copier.catchUp();
    const session = await store.run('sessions.find', { sessionId });
    if (session === null || !maySee(principal, session.principal)) {
      throw new AppError('session.not_found', `there is no session ${sessionId}`);
    }
    const { provider, node } = session;
    return { principalId: principal.id, provider, node, at: now() };
  }

  function remembered({ id }: Principal, sessionId: string): Place | null {
    const place = places.get(sessionId);
    return place !== undefined && place.principalId === id && now() - place.at < REMEMBER_MS ? place : null;
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
    places.set(sessionId, place);
    const [oldest] = places.keys();
    if (places.size > MAX_REMEMBERED && oldest !== undefined) places.delete(oldest);
    return place.node;
  };
}
