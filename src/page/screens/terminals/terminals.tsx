/** Terminals: one at a time as tabs, or side by side. The address says which ones, and how. */
import { useCallback, useState } from 'preact/hooks';
import type { Session } from '../../../protocol/session.ts';
import { useLoad, usePoll } from '../../load.ts';
import { go, useRoute, withQuery } from '../../router.ts';
import { client, isOfSession, may } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { SessionStatusBadge } from '../../ui/status.tsx';
import { Ago } from '../../ui/time.tsx';
import { nameOf } from '../sessions/names.ts';
import { NewTerminal } from '../sessions/new-terminal.tsx';
import { TerminalPane } from './pane.tsx';
import { RecordingScreen } from './recording-screen.tsx';
import './terminals.css';

const SPOKEN = 'bullpen.terminal.spoken';
const MOST = 8;

export function TerminalsScreen() {
  const route = useRoute();
  const ids = [...new Set((route.path.split('/')[2] ?? '').split(',').filter((id) => id !== ''))];
  if (ids[0] !== undefined && route.query.get('view') === 'recording')
    return <RecordingScreen key={ids[0]} id={ids[0]} />;
  if (ids.length === 0) return <Chooser />;
  return <Open ids={ids.slice(0, MOST)} />;
}

function Open({ ids }: { readonly ids: readonly string[] }) {
  const route = useRoute();
  const [sessions, setSessions] = useState<ReadonlyMap<string, Session>>(new Map());
  const [spoken, setSpoken] = useState(() => localStorage.getItem(SPOKEN) === 'yes');
  const [adds, setAdds] = useState(false);
  const side = route.query.get('view') === 'side' && ids.length > 1;
  const wanted = route.query.get('at') ?? '';
  const at = ids.includes(wanted) ? wanted : (ids[0] ?? '');
  const onSession = useCallback((session: Session) => {
    setSessions((known) => new Map(known).set(session.id, session));
  }, []);
  const hrefOf = (next: readonly string[], now: string): string =>
    withQuery({ path: `/terminals/${next.join(',')}`, query: route.query }, { at: now === '' ? null : now });
  const hide = (id: string): void => {
    const rest = ids.filter((one) => one !== id);
    if (rest.length === 0) go('/terminals');
    else go(hrefOf(rest, at === id ? '' : at));
  };
  const speak = (): void => {
    localStorage.setItem(SPOKEN, spoken ? 'no' : 'yes');
    setSpoken(!spoken);
  };
  useKeys(
    ids.map((id, i) => ({ keys: String(i + 1), does: `terminal ${i + 1}`, act: () => go(hrefOf(ids, id)) })),
  );
  return (
    <div class={side ? 'terminals side-by-side' : 'terminals'}>
      <header class="head">
        <h1 class="visually-hidden">Terminals</h1>
        <nav class="tabs" aria-label="Open terminals">
          {ids.map((id) => {
            const session = sessions.get(id);
            const name = session === undefined ? 'Terminal' : nameOf(session);
            return (
              <span key={id} class="terminal-tab" aria-current={id === at ? 'page' : undefined}>
                <a class="clip" href={hrefOf(ids, id)} aria-current={id === at ? 'page' : undefined}>
                  {name}
                </a>
                <Button small look="plain" label={`Take ${name} off the screen`} onPress={() => hide(id)}>
                  ✕
                </Button>
              </span>
            );
          })}
        </nav>
        <div class="actions">
          <Button small onPress={() => setAdds(true)}>
            Add
          </Button>
          {ids.length > 1 && (
            <a class="button small" href={withQuery(route, { view: side ? null : 'side' })}>
              {side ? 'One at a time' : 'Side by side'}
            </a>
          )}
          <Button small look="plain" onPress={speak}>
            Screen reader: {spoken ? 'on' : 'off'}
          </Button>
        </div>
      </header>
      <div class="panes">
        {ids.map((id) => (
          <TerminalPane
            key={id}
            id={id}
            shown={side || id === at}
            current={id === at}
            spoken={spoken}
            onSession={onSession}
            onGone={() => hide(id)}
          />
        ))}
      </div>
      {adds && (
        <AddDialog ids={ids} onClose={() => setAdds(false)} hrefOf={(id) => hrefOf([...ids, id], id)} />
      )}
    </div>
  );
}

interface AddDialogProps {
  readonly ids: readonly string[];
  readonly onClose: () => void;
  hrefOf(id: string): string;
}

/** Another terminal beside those on the screen: an open one, or a new one. */
function AddDialog({ ids, onClose, hrefOf }: AddDialogProps) {
  const [makes, setMakes] = useState(false);
  if (makes) return <NewTerminal onClose={onClose} onMade={({ id }) => go(hrefOf(id))} />;
  return (
    <Dialog title="Add a terminal" onClose={onClose}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: closes after a link inside was followed */}
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: a link is clicked by Enter, too */}
      <div
        class="inside"
        onClick={(event) => {
          if (event.target instanceof Element && event.target.closest('a') !== null) onClose();
        }}
      >
        <Choices without={ids} hrefOf={hrefOf} />
      </div>
      {may('terminals') && may('sessions:write') && (
        <footer>
          <Button look="primary" onPress={() => setMakes(true)}>
            New terminal
          </Button>
        </footer>
      )}
    </Dialog>
  );
}

const openTerminals = () =>
  client.sessions.list({
    kind: 'terminal',
    status: ['starting', 'awaiting_auth', 'ready', 'busy', 'awaiting_input', 'interrupted'],
    limit: 100,
  });

/** No terminal is on the screen yet. */
function Chooser() {
  const [makes, setMakes] = useState(false);
  const mayOpen = may('terminals') && may('sessions:write');
  useKeys(mayOpen ? [{ keys: 't', does: 'new terminal', act: () => setMakes(true) }] : []);
  return (
    <>
      <header class="head">
        <h1>Terminals</h1>
        <div class="actions">
          <a class="button" href="/sessions?kind=terminal">
            All, with those that have ended
          </a>
          {mayOpen && (
            <Button look="primary" onPress={() => setMakes(true)}>
              New terminal
            </Button>
          )}
        </div>
      </header>
      <Choices without={[]} hrefOf={(id) => `/terminals/${id}`} />
      {makes && <NewTerminal onClose={() => setMakes(false)} onMade={({ id }) => go(`/terminals/${id}`)} />}
    </>
  );
}

interface ChoicesProps {
  readonly without: readonly string[];
  hrefOf(id: string): string;
}

function Choices({ without, hrefOf }: ChoicesProps) {
  const open = useLoad(openTerminals, [], isOfSession);
  usePoll(open, 5000);
  if (open.data === null)
    return open.error === null ? <Loading /> : <Failure error={open.error} retry={open.reload} />;
  const others = open.data.data.filter(({ id }) => !without.includes(id));
  if (others.length === 0)
    return (
      <Empty title="No other terminal is open">
        <p>A terminal is a program on the server, such as a shell or a CLI, that you can type into.</p>
      </Empty>
    );
  return (
    <ul class="card choices">
      {others.map((session) => (
        <li key={session.id}>
          <a href={hrefOf(session.id)}>
            <span class="clip">{nameOf(session)}</span>
            <SessionStatusBadge status={session.status} />
            <span class="soft mono clip">{session.cwd}</span>
            <span class="soft spread">
              <Ago at={session.lastActivityAt} />
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}
