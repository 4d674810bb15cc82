/** One terminal: its screen, what it is doing, and what one can do with it. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from '../../../client/errors.ts';
import type { Session } from '../../../protocol/session.ts';
import { type Loaded, useLoad } from '../../load.ts';
import { client, live, may } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { Failure } from '../../ui/states.tsx';
import { SessionStatusBadge } from '../../ui/status.tsx';
import { act, failed } from '../../ui/toast.tsx';
import { EndDialog } from '../sessions/end-dialog.tsx';
import { nameOf } from '../sessions/names.ts';
import { useConnected, useScreen } from './use-screen.ts';

interface PaneProps {
  readonly id: string;
  /** Whether it is on the screen; the others stay as they are. */
  readonly shown: boolean;
  /** Whether it is the one that takes the keys. */
  readonly current: boolean;
  readonly spoken: boolean;
  readonly onSession: (session: Session) => void;
  /** It was deleted. */
  readonly onGone: () => void;
}

export const isOver = ({ status }: Session): boolean => status === 'closed' || status === 'failed';

export function TerminalPane({ onSession, ...rest }: PaneProps) {
  const { id, shown } = rest;
  const session = useLoad(
    () => client.sessions.get(id),
    [id],
    (change) => (change.kind === 'snapshot' ? change.sessions.some((one) => one.id === id) : false),
  );
  const { data } = session;
  useEffect(() => {
    if (data !== null) onSession(data);
  }, [data, onSession]);
  if (session.error instanceof ApiError && data === null)
    return (
      <section class="pane" hidden={!shown}>
        <Failure error={session.error} retry={session.reload} />
      </section>
    );
  return <Pane {...rest} session={session} />;
}

interface OpenPaneProps extends Omit<PaneProps, 'onSession'> {
  readonly session: Loaded<Session>;
}

function Pane({ id, shown, current, spoken, session, onGone }: OpenPaneProps) {
  const box = useRef<HTMLElement>(null);
  const place = useRef<HTMLDivElement>(null);
  const connected = useConnected();
  const { data } = session;
  const over = data !== null && isOver(data);
  const types = may('terminals') && data !== null && !over && connected;
  const leave = (): void => box.current?.focus();
  const { screen, title, link, error } = useScreen({
    ...{ id, place, spoken, types, shown, leave },
    onStatus: session.reload,
  });
  useEffect(() => {
    if (current && types) screen()?.terminal.focus();
  }, [current, types, screen]);
  const name = data === null ? 'Terminal' : nameOf(data);
  return (
    <section
      ref={box}
      class="pane"
      hidden={!shown}
      tabIndex={-1}
      aria-label={name}
      onKeyDown={(event) => {
        if (event.target === box.current && event.key === 'Enter') screen()?.terminal.focus();
      }}
    >
      <header class="pane-head">
        <strong class="clip">{name}</strong>
        {data !== null && <SessionStatusBadge status={data.status} />}
        {title !== '' && (
          <span class="soft clip pane-title" title="the title that the program gives itself">
            {visibleText(title)}
          </span>
        )}
        <span class="spread" />
        <Actions id={id} session={session} over={over} onGone={onGone} />
      </header>
      {data !== null && <Told session={data} connected={connected} />}
      {error !== null && (
        <p class="notice bad" role="alert">
          {error.message}
        </p>
      )}
      <div ref={place} class="pane-screen" />
      <footer class="pane-foot">
        {link !== null ? (
          <span class="clip" role="status">
            {visibleText(link)} <span class="soft">· Ctrl+click opens it</span>
          </span>
        ) : !types ? (
          <span class="soft">{whyNoTyping(over, connected)}</span>
        ) : (
          <>
            <TouchKeys screen={screen} />
            <span class="soft hint">
              <kbd>Ctrl</kbd> <kbd>]</kbd> leaves the terminal
            </span>
          </>
        )}
      </footer>
    </section>
  );
}

const whyNoTyping = (over: boolean, connected: boolean): string =>
  over
    ? 'The program has ended.'
    : !connected
      ? 'Nothing can be typed until the server is back.'
      : 'You may look at this terminal, and not type.';

/** Why it waits, or how it has ended. */
function Told({ session, connected }: { readonly session: Session; readonly connected: boolean }) {
  const { matchedLine, status, statusReason, terminal } = session;
  if (!connected) return <p class="notice warn">The server is away. The terminal goes on when it is back.</p>;
  if (isOver(session)) {
    const code = terminal?.exitCode ?? null;
    const how = code === null ? '' : ` with exit code ${code}`;
    const why = statusReason === null ? '' : ` (${statusReason})`;
    return (
      <p class={status === 'failed' ? 'notice bad' : 'notice'}>
        {status === 'failed' ? `Failed${how}${why}.` : `Closed${how}${why}.`}{' '}
        <a href={`/terminals/${session.id}?view=recording`}>Play the recording</a>
      </p>
    );
  }
  if (matchedLine === null) return null;
  return (
    <p class="notice warn clip" title={matchedLine}>
      Waits for: <span class="mono">{visibleText(matchedLine)}</span>
    </p>
  );
}

interface ActionsProps {
  readonly id: string;
  readonly session: Loaded<Session>;
  readonly over: boolean;
  readonly onGone: () => void;
}

function Actions({ id, session, over, onGone }: ActionsProps) {
  const [ends, setEnds] = useState(false);
  const { data } = session;
  return (
    <div class="row pane-actions">
      {!over && may('terminals') && (
        <Button small onPress={() => act(() => live().signal(id, 'INT'), 'Interrupted')}>
          Interrupt
        </Button>
      )}
      {!over && (
        <a class="button small" href={`/terminals/${id}?view=recording`}>
          Recording
        </a>
      )}
      {may('sessions:write') && data !== null && (
        <Button small look="danger" onPress={() => setEnds(true)}>
          {over ? 'Delete' : 'Close'}
        </Button>
      )}
      {ends && data !== null && (
        <EndDialog
          session={data}
          what={over ? 'delete' : 'close'}
          onClose={() => setEnds(false)}
          onDone={over ? onGone : session.reload}
        />
      )}
    </div>
  );
}

/** Keys that the keyboards of phones lack. */
const KEYS = [
  { name: 'Esc', text: '\x1b' },
  { name: 'Tab', text: '\t' },
  { name: '^C', text: '\x03', label: 'Control C' },
  { name: '↑', final: 'A', label: 'Up' },
  { name: '↓', final: 'B', label: 'Down' },
  { name: '←', final: 'D', label: 'Left' },
  { name: '→', final: 'C', label: 'Right' },
] as const;

function TouchKeys({ screen }: { readonly screen: ReturnType<typeof useScreen>['screen'] }) {
  return (
    <fieldset class="touch-keys bare" aria-label="Keys">
      {KEYS.map((key) => (
        <Button
          key={key.name}
          small
          {...('label' in key ? { label: key.label } : {})}
          onPress={() => {
            const terminal = screen()?.terminal;
            if (terminal === undefined) return failed(new Error('The terminal is not there yet.'));
            const cursor = terminal.modes.applicationCursorKeysMode ? '\x1bO' : '\x1b[';
            terminal.input('text' in key ? key.text : `${cursor}${key.final}`);
            terminal.focus();
          }}
        >
          {key.name}
        </Button>
      ))}
    </fieldset>
  );
}
