/** How the page calls sessions. */
import type { Session } from '../../../protocol/session.ts';
import { shortId } from '../../format.ts';
import { visibleText } from '../../transcript/hostile.ts';

/** The name that a person gave, else what it is. */
export const nameOf = ({ id, name, kind, provider, terminal }: Session): string =>
  visibleText(name ?? `${kind === 'chat' ? 'Chat' : (terminal?.command ?? provider)} ${shortId(id)}`);

/** Where a session is shown. */
export const placeOf = ({ id, kind }: Pick<Session, 'id' | 'kind'>): string =>
  kind === 'terminal' ? `/terminals/${id}` : `/sessions/${id}`;
