/** One session: a chat, or the way to its terminal. */
import { useEffect } from 'preact/hooks';
import { useLoad } from '../../load.ts';
import { go } from '../../router.ts';
import { type Changed, client } from '../../server.ts';
import { Failure, Loading } from '../../ui/states.tsx';
import { Chat } from './chat.tsx';
import { placeOf } from './names.ts';

export function SessionScreen({ id }: { readonly id: string }) {
  const isOwn = (change: Changed): boolean =>
    change.kind === 'snapshot' || ('sessionId' in change && change.sessionId === id);
  const session = useLoad((signal) => client.sessions.get(id, { signal }), [id], isOwn);
  const { data } = session;
  const isTerminal = data?.kind === 'terminal';
  useEffect(() => {
    if (isTerminal) go(placeOf({ id, kind: 'terminal' }), { replace: true });
  }, [id, isTerminal]);
  if (data === null && session.error !== null)
    return <Failure error={session.error} retry={session.reload} />;
  if (data === null || isTerminal) return <Loading />;
  return <Chat session={data} reload={session.reload} isOwn={isOwn} />;
}
