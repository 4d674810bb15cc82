/** Asks the node that has a terminal: this one, or another one of this Redis. */
import { LRUCache } from 'lru-cache';
import { actorOf, maySee, mayUse, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { Audit } from '../http/ports.ts';
import type { Terminals } from '../http/session-ports.ts';
import type { Scope } from '../protocol/key.ts';
import type { TerminalAnswers, TerminalAsk } from '../protocol/terminal.ts';
import type { NodeAsks } from '../records/session-ports.ts';
import type { SessionRow } from '../store/session-rows.ts';
import type { TerminalHost } from './ports.ts';

/** What never changes of a session, so it is looked up once. */
type Place = Pick<SessionRow, 'kind' | 'project' | 'node'>;

const MAX_REMEMBERED = 1000;
const MAX_WRITERS = 10_000;

const NEEDS: Readonly<Record<TerminalAsk['kind'], Scope>> = {
  input: 'terminals',
  resize: 'terminals',
  signal: 'terminals',
  screen: 'sessions:read',
  snapshot: 'sessions:read',
  recording: 'sessions:read',
  history: 'sessions:read',
  close: 'sessions:write',
  remove: 'sessions:write',
};

export function createTerminalRouter({
  find,
  host,
  asks,
  nodeId,
  note,
}: {
  /** @throws AppError session.not_found, including for another project's */
  find(principal: Principal, sessionId: string): Promise<Place>;
  readonly host: Pick<TerminalHost, 'ask'>;
  readonly asks: Pick<NodeAsks, 'ask'>;
  readonly nodeId: string;
  readonly note: Audit['note'];
}): Terminals {
  const places = new LRUCache<string, Place>({ max: MAX_REMEMBERED });
  /** Who has typed into which terminal. */
  const writers = new LRUCache<string, true>({ max: MAX_WRITERS });

  async function placeOf(principal: Principal, id: string): Promise<Place> {
    const known = places.get(id);
    if (known !== undefined && maySee(principal, known.project)) return known;
    const { kind, project, node } = await find(principal, id);
    const place = { kind, project, node };
    if (node !== null) places.set(id, place);
    return place;
  }

  /** An input is audited once for each principal and terminal, and never its text. */
  function audit(principal: Principal, target: string, { project }: Place, ask: TerminalAsk): void {
    const by = actorOf(principal);
    if (ask.kind === 'signal')
      note(by, { action: 'terminal.signalled', project, target, details: { signal: ask.signal } });
    if (ask.kind === 'close') note(by, { action: 'session.closed', project, target });
    if (ask.kind !== 'input') return;
    const writer = `${target} ${principal.id}`;
    if (!writers.has(writer)) note(by, { action: 'terminal.typed', project, target });
    writers.set(writer, true);
  }

  return {
    async ask<Kind extends TerminalAsk['kind']>(
      principal: Principal,
      sessionId: string,
      ask: Extract<TerminalAsk, { kind: Kind }>,
    ): Promise<TerminalAnswers[Kind]> {
      const scope = NEEDS[ask.kind];
      if (!mayUse(principal, scope))
        throw new AppError('auth.forbidden', `this needs a token with the scope ${scope}`);
      const place = await placeOf(principal, sessionId);
      if (place.kind !== 'terminal') throw wrongKind('a chat has no terminal');
      if (place.node === null) throw new AppError('terminal.over', 'the terminal was never started');
      const answer =
        place.node === nodeId
          ? await host.ask<Kind>(sessionId, ask)
          : // as: the other node answers by its host, whose answers have these types
            ((await asks.ask(place.node, { sessionId, ask })) as TerminalAnswers[Kind]);
      audit(principal, sessionId, place, ask);
      return answer;
    },
  };
}

export const wrongKind = (message: string): AppError => new AppError('session.wrong_kind', message);
