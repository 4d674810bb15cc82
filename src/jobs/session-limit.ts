/** BULLPEN_MAX_SESSIONS: how many sessions of this server may have a process, or an open turn. */
import { maySee, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { Session, SessionStatus } from '../protocol/session.ts';
import type { Copier } from '../store/copier.ts';
import type { Store } from '../store/store.ts';
import { toSession } from './session-document.ts';

/** States in which a turn is open, or a program is about to start. */
const OPEN: readonly SessionStatus[] = ['starting', 'busy', 'awaiting_input'];
/** Sessions that a refusal names. */
const MAX_NAMED = 5;

/**
 * Makes a session by `create`, if one more is allowed. One after the other, so that each counts the
 * earlier ones.
 * @throws AppError limit.sessions
 */
export type SessionLimit = <Made>(principal: Principal, create: () => Promise<Made>) => Promise<Made>;

export interface SessionLimitOptions {
  readonly store: Store;
  readonly copier: Pick<Copier, 'catchUp'>;
  /** The processes of CLIs and terminals on this server. */
  processes(): readonly CliProcess[];
  readonly maxSessions: number;
  readonly nodeId: string;
}

export function createSessionLimit({
  store,
  copier,
  processes,
  maxSessions,
  nodeId,
}: SessionLimitOptions): SessionLimit {
  let last: Promise<unknown> = Promise.resolve();

  /** Sessions made by POST that have a process here, or an open turn that may run here. */
  async function live(): Promise<readonly Session[]> {
    await copier.catchUp();
    const all = processes();
    const withProcess = new Set(all.flatMap(({ sessionId, alive }) => (alive && sessionId) || []));
    const rows = await Promise.all([...withProcess].map((id) => store.run('sessions.get', { id })));
    const query = { ...ANY, status: OPEN, limit: maxSessions + withProcess.size };
    const { data } = await store.run('sessions.list', { project: null, query, live: [] });
    const open = data.filter(({ id, node }) => !withProcess.has(id) && (node ?? nodeId) === nodeId);
    return [...rows, ...open].flatMap((row) => (row?.explicit ? [toSession(row, all)] : []));
  }

  async function check(principal: Principal): Promise<void> {
    const all = await live();
    if (all.length < maxSessions) return;
    const isOpen = ({ status }: Session): number => Number(OPEN.includes(status));
    const named = all
      .filter(({ project }) => maySee(principal, project))
      .sort((a, b) => isOpen(a) - isOpen(b) || (a.lastActivityAt < b.lastActivityAt ? -1 : 1))
      .slice(0, MAX_NAMED)
      .map(({ id, name, status }) => `${id} (${name === null ? status : `${name}, ${status}`})`);
    const which = named.length === 0 ? 'they belong to other projects' : `close one of: ${named.join(', ')}`;
    const message = `${all.length} sessions have a live process or an open turn; BULLPEN_MAX_SESSIONS allows ${maxSessions}; ${which}`;
    throw new AppError('limit.sessions', message);
  }

  return (principal, create) => {
    const made = last.then(async () => {
      await check(principal);
      return create();
    });
    last = made.catch(() => {});
    return made;
  };
}

const ANY = { kind: null, provider: null, tag: [], q: null, all: false, cursor: null } as const;
