/** Chats and terminals: which there are, what they do, and the way to each. */
import { useState } from 'preact/hooks';
import type { SessionListQuery, SessionPage } from '../../../client/sessions.ts';
import type { Session } from '../../../protocol/session.ts';
import { type Loaded, useLoad, usePoll } from '../../load.ts';
import { go, useRoute } from '../../router.ts';
import { client, isOfSession, may } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { VirtualList } from '../../ui/virtual-list.tsx';
import { Filters, queryOf } from './filters.tsx';
import { placeOf } from './names.ts';
import { NewChat } from './new-chat.tsx';
import { NewTerminal } from './new-terminal.tsx';
import { SessionRow } from './session-row.tsx';
import './sessions.css';

const PAGE = 50;
const ROW_PX = 57;

export function SessionsScreen() {
  const route = useRoute();
  const query = queryOf(route.query);
  const text = JSON.stringify(query);
  const [pages, setPages] = useState(1);
  const list = useLoad((signal) => load(query, pages, signal), [text, pages], isOfSession);
  usePoll(list, 5000);
  const isMore = (list.data?.data.length ?? 0) >= pages * PAGE && list.data?.nextCursor !== null;
  const [makes, setMakes] = useState<'chat' | 'terminal' | null>(null);
  const mayWrite = may('sessions:write');
  const mayOpen = mayWrite && may('terminals');
  useKeys([
    ...(mayWrite ? [{ keys: 'n', does: 'new chat', act: () => setMakes('chat') }] : []),
    ...(mayOpen ? [{ keys: 't', does: 'new terminal', act: () => setMakes('terminal') }] : []),
  ]);
  const open = (session: Session): void => go(placeOf(session));
  return (
    <>
      <header class="head">
        <h1>Sessions</h1>
        <div class="actions">
          {mayOpen && <Button onPress={() => setMakes('terminal')}>New terminal</Button>}
          {mayWrite && (
            <Button look="primary" onPress={() => setMakes('chat')}>
              New chat
            </Button>
          )}
        </div>
      </header>
      <Filters route={route} />
      <List
        key={text}
        list={list}
        filtered={Object.keys(query).length > 0}
        onMore={isMore ? () => setPages(pages + 1) : null}
      />
      {makes === 'chat' && <NewChat onClose={() => setMakes(null)} onMade={open} />}
      {makes === 'terminal' && <NewTerminal onClose={() => setMakes(null)} onMade={open} />}
    </>
  );
}

/** As many pages as were asked for, so that a reload shows the same part of the list. */
async function load(query: SessionListQuery, pages: number, signal: AbortSignal): Promise<SessionPage> {
  const data: Session[] = [];
  let nextCursor: string | null = null;
  for (let page = 0; page < pages; page += 1) {
    const cursor = nextCursor === null ? {} : { cursor: nextCursor };
    const next: SessionPage = await client.sessions.list({ ...query, limit: PAGE, ...cursor }, { signal });
    data.push(...next.data);
    nextCursor = next.nextCursor;
    if (nextCursor === null) break;
  }
  return { data, nextCursor };
}

interface ListProps {
  readonly list: Loaded<SessionPage>;
  readonly filtered: boolean;
  /** Loads the next page; null: there is none, or it is on its way. */
  readonly onMore: (() => void) | null;
}

function List({ list, filtered, onMore }: ListProps) {
  const [at, setAt] = useState<string | null>(null);
  const sessions = list.data?.data ?? [];
  const move = (by: number): void => {
    const now = sessions.findIndex(({ id }) => id === at);
    const next = sessions[Math.min(Math.max(0, now + by), sessions.length - 1)];
    if (next !== undefined) setAt(next.id);
  };
  const place = sessions.findIndex(({ id }) => id === at);
  const current = sessions[place];
  useKeys([
    { keys: 'j', does: 'next session', act: () => move(1), repeats: true },
    { keys: 'k', does: 'session before', act: () => move(-1), repeats: true },
    { keys: 'Enter', does: 'open', act: () => current !== undefined && go(placeOf(current)) },
  ]);
  if (list.data === null)
    return list.error === null ? <Loading lines={8} /> : <Failure error={list.error} retry={list.reload} />;
  if (sessions.length === 0)
    return filtered ? (
      <Empty title="No session fits these filters">
        <a class="button" href="/sessions">
          All sessions
        </a>
      </Empty>
    ) : (
      <Empty title="There is no session yet">
        <p>
          A chat goes on over many prompts and days. A terminal is a program on the server that you type into.
        </p>
      </Empty>
    );
  return (
    <div class="card sessions">
      <div class="session-row labels" aria-hidden="true">
        <span>Session</span>
        <span>Status</span>
        <span>Provider</span>
        <span>Folder</span>
        <span class="number">Turns</span>
        <span class="number">Cost</span>
        <span class="number">Last activity</span>
      </div>
      <VirtualList
        items={sessions}
        keyOf={({ id }) => id}
        estimate={() => ROW_PX}
        label="Sessions"
        current={place === -1 ? null : place}
        render={(session) => (
          <SessionRow
            session={session}
            at={session.id === at}
            onFocus={() => setAt(session.id)}
            onChange={list.reload}
          />
        )}
        {...(onMore === null ? {} : { onNearEnd: onMore })}
      />
    </div>
  );
}
