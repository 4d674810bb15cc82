/** The recording of a terminal: it plays, and the commands of the history are places in it. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { TerminalCommand } from '../../../protocol/terminal.ts';
import { formatShortTime } from '../../format.ts';
import { type Loaded, useLoad } from '../../load.ts';
import { client } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { SessionStatusBadge } from '../../ui/status.tsx';
import { nameOf } from '../sessions/names.ts';
import { createPlayer, type Player } from './player.ts';
import { playTimeOf, type Recording, recordingOf } from './recording.ts';
import { createScreen } from './xterm.ts';

const SPEEDS = [1, 2, 4];
const STEP_MS = 5000;
/** The bar ends at a whole step, so that its last one is the end of the recording. */
const BAR_STEP_MS = 100;
const MOST_COMMANDS = 10_000;

export function RecordingScreen({ id }: { readonly id: string }) {
  const session = useLoad((signal) => client.sessions.get(id, { signal }), [id]);
  const recording = useLoad((signal) => load(id, signal), [id]);
  const history = useLoad((signal) => commandsOf(id, signal), [id]);
  const error = session.error ?? recording.error;
  const again = (): void => {
    session.reload();
    recording.reload();
    history.reload();
  };
  return (
    <div class="terminals recording">
      <header class="head">
        <h1 class="clip">{session.data === null ? 'Recording' : `Recording of ${nameOf(session.data)}`}</h1>
        {session.data !== null && <SessionStatusBadge status={session.data.status} />}
        <div class="actions">
          <Button small onPress={again}>
            Load again
          </Button>
          <a class="button small" href={`/v1/sessions/${id}/recording`} download={`${id}.cast`}>
            Download
          </a>
          <a class="button small" href={`/terminals/${id}`}>
            Terminal
          </a>
        </div>
      </header>
      {error !== null ? (
        <Failure error={error} retry={again} />
      ) : recording.data === null ? (
        <Loading />
      ) : recording.data.moments.length === 0 ? (
        <Empty title="Nothing is recorded yet">
          <p>The program has written nothing so far.</p>
        </Empty>
      ) : (
        <Playing recording={recording.data} history={history} />
      )}
    </div>
  );
}

async function load(id: string, signal: AbortSignal): Promise<Recording> {
  const lines: string[] = [];
  for await (const line of client.sessions.recording(id, { signal })) lines.push(line);
  return recordingOf(lines);
}

async function commandsOf(id: string, signal: AbortSignal): Promise<readonly TerminalCommand[]> {
  const commands: TerminalCommand[] = [];
  let cursor: string | null = null;
  do {
    const query = { limit: 100, ...(cursor === null ? {} : { cursor }) };
    const page = await client.sessions.history(id, query, { signal });
    commands.push(...page.data);
    cursor = page.nextCursor;
  } while (cursor !== null && commands.length < MOST_COMMANDS);
  return commands;
}

interface PlayingProps {
  readonly recording: Recording;
  readonly history: Loaded<readonly TerminalCommand[]>;
}

function Playing({ recording, history }: PlayingProps) {
  const place = useRef<HTMLDivElement>(null);
  const player = useRef<Player | null>(null);
  const [state, setState] = useState({ at: 0, playing: false });
  const [speed, setSpeed] = useState(1);
  useEffect(() => {
    if (place.current === null) return;
    const screen = createScreen({ place: place.current });
    screen.terminal.options.disableStdin = true;
    // Nothing is typed here: the bar and the keys move it.
    if (screen.terminal.textarea !== undefined) screen.terminal.textarea.tabIndex = -1;
    const made = createPlayer({ recording, screen, onChange: setState });
    player.current = made;
    made.setSpeed(speed);
    made.play();
    return () => {
      made.stop();
      player.current = null;
      screen.dispose();
    };
  }, [recording]);
  const toggle = (): void => (state.playing ? player.current?.pause() : player.current?.play());
  const seek = (at: number): void => player.current?.seek(at);
  const choose = (value: number): void => {
    player.current?.setSpeed(value);
    setSpeed(value);
  };
  useKeys([
    { keys: 'k', does: 'play, pause', act: toggle },
    { keys: 'ArrowLeft', does: 'back five seconds', act: () => seek(state.at - STEP_MS), repeats: true },
    { keys: 'ArrowRight', does: 'on five seconds', act: () => seek(state.at + STEP_MS), repeats: true },
  ]);
  const position = `${clock(state.at)} of ${clock(recording.duration)}`;
  return (
    <>
      <div class="player">
        <div class="pane">
          <div ref={place} class="pane-screen" />
          <div class="player-bar">
            <Button look="primary" small onPress={toggle}>
              {state.playing ? 'Pause' : 'Play'}
            </Button>
            <input
              type="range"
              aria-label="Place in the recording"
              aria-valuetext={position}
              min={0}
              max={Math.ceil(recording.duration / BAR_STEP_MS) * BAR_STEP_MS}
              step={BAR_STEP_MS}
              value={state.at}
              onInput={(event) => seek(event.currentTarget.valueAsNumber)}
            />
            <span class="number soft">{position}</span>
            <fieldset class="row bare" aria-label="Speed">
              {SPEEDS.map((one) => (
                <button
                  key={one}
                  type="button"
                  class="button small"
                  aria-pressed={one === speed}
                  onClick={() => choose(one)}
                >
                  {one}×
                </button>
              ))}
            </fieldset>
          </div>
        </div>
        <History recording={recording} history={history} onSeek={seek} />
      </div>
      {recording.realMs - recording.duration > 1000 && (
        <p class="soft">Pauses of more than two seconds are shortened: it took {clock(recording.realMs)}.</p>
      )}
    </>
  );
}

interface HistoryProps extends PlayingProps {
  readonly onSeek: (at: number) => void;
}

function History({ recording, history, onSeek }: HistoryProps) {
  const commands = history.data ?? [];
  return (
    <section class="card history" aria-label="History">
      <header>
        <h2>Commands</h2>
        <span class="soft number">{history.data === null ? '' : commands.length}</span>
      </header>
      {history.error !== null ? (
        <p class="inside soft">{history.error.message}</p>
      ) : history.data === null ? (
        <div class="inside">
          <Loading lines={3} />
        </div>
      ) : commands.length === 0 ? (
        <p class="inside soft">No command was typed.</p>
      ) : (
        <ol>
          {commands.map((command) => (
            <li key={command.at}>
              <button
                type="button"
                onClick={() => onSeek(playTimeOf(recording, Date.parse(command.at) - recording.startedAt))}
              >
                <span class="mono clip">{visibleText(command.text ?? 'not shown on the screen')}</span>
                {command.exitCode !== null && command.exitCode !== 0 && (
                  <span class="badge bad">exit {command.exitCode}</span>
                )}
                <time class="soft number" dateTime={command.at}>
                  {formatShortTime(command.at)}
                </time>
              </button>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

/** 1:05, 2:03:09. */
function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  const two = (value: number): string => String(value).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
