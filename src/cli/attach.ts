/** Shows a terminal of the server on that of the person, who types into it. */
import type { Client } from '../client/client.ts';
import { ApiError } from '../client/errors.ts';
import type { LiveStatus } from '../client/live.ts';
import type { SessionStoredEvent } from '../protocol/event.ts';
import type { SessionStatus } from '../protocol/session.ts';
import type { TerminalSize } from '../protocol/terminal.ts';
import type { Interrupts } from './interrupts.ts';
import type { PersonTerminal } from './person-terminal.ts';
import { createTerminalModes, type TerminalModes } from './terminal-modes.ts';
import { createTypedKeys, type DetachKey, eitherKey, parseDetachKey } from './typed-keys.ts';

export interface AttachOptions {
  readonly client: Pick<Client, 'live' | 'sessions'>;
  readonly sessionId: string;
  readonly person: PersonTerminal;
  /** Null: the person only looks, and leaves with Ctrl-C, too. */
  readonly types: boolean;
  readonly detachKey: DetachKey;
  readonly interrupts: Pick<Interrupts, 'listen'>;
}

/** A message of the server takes 64 KiB, and JSON six characters for a control character. */
const MAX_INPUT = 8192;
/** Inputs without an answer. Above that, keys are dropped: the server is away. */
const MAX_TYPED_AHEAD = 900;
/** The rest of an answer of the terminal comes sooner than this. */
const ANSWER_MS = 100;
/** A connection that is back sooner is not mentioned. */
const QUIET_MS = 1000;

/** The title of the window is how a person sees the key; the old one comes back. */
const title = (text: string): string => `\u001b[22;0t\u001b]2;${text}\u0007`;
const OLD_TITLE = '\u001b[23;0t';
/** Scrolls what the terminal shows out of sight, and begins at the top. */
const freshScreen = (rows: number): string => `\u001b[${rows};1H${'\n'.repeat(rows)}\u001b[H`;
const CLEAR = '\u001b[H\u001b[2J';
const inLastLine = (text: string, { cols, rows }: TerminalSize): string =>
  `\u001b7\u001b[${rows};1H\u001b[2K\u001b[2m${text.slice(0, cols - 1)}\u001b[0m\u001b8`;

/**
 * Attaches until the program ends (`ended`) or the person leaves (`detached`; `interrupted`: by a
 * signal). The terminal of the person is then as it was.
 * @throws ApiError, UnreachableError
 */
export async function attach(options: AttachOptions): Promise<'ended' | 'detached' | 'interrupted'> {
  const { client, sessionId, person, types, detachKey, interrupts } = options;
  const modes = createTerminalModes();
  const left = new AbortController();
  /** Aborts to read the screen again. */
  let reading = new AbortController();
  let lostFor: ReturnType<typeof setTimeout> | null = null;
  let isNoticeShown = false;
  let typedAhead = 0;
  let failure: unknown = null;
  /** The terminal is over: its next screen is the last one. */
  let isFinal = false;

  const leave = (how: 'detached' | 'interrupted' | 'failed'): void => left.abort(how);
  const fail = (error: unknown): void => {
    if (error instanceof ApiError && error.code === 'terminal.over') return; // its end follows
    failure ??= error;
    leave('failed');
  };

  function onStatus({ state }: LiveStatus): void {
    if (state === 'reconnecting') {
      lostFor ??= setTimeout(() => {
        isNoticeShown = true;
        const keys = `${detachKey.name} leaves`;
        void person.write(inLastLine(`the connection is lost; trying again … (${keys})`, person.size));
      }, QUIET_MS);
      return;
    }
    if (lostFor !== null) clearTimeout(lostFor);
    lostFor = null;
    // The notice is over a line of the program.
    if (state === 'connected' && isNoticeShown) reading.abort();
    isNoticeShown = false;
  }

  const live = client.live({ onStatus });
  const typed = createTypedKeys(types ? detachKey : eitherKey(detachKey, parseDetachKey('ctrl-c')));
  let releasing: ReturnType<typeof setTimeout> | null = null;

  function send(text: string): void {
    if (!types) return;
    for (const piece of piecesOf(text)) {
      if (typedAhead >= MAX_TYPED_AHEAD) return;
      typedAhead += 1;
      live
        .input(sessionId, piece)
        .then(() => {}, fail)
        .finally(() => {
          typedAhead -= 1;
        });
    }
  }

  function onKeys(bytes: Uint8Array): void {
    if (releasing !== null) clearTimeout(releasing);
    releasing = null;
    const { text, detach } = typed.take(bytes);
    send(text);
    if (detach) leave('detached');
    else if (typed.holds) releasing = setTimeout(() => send(typed.release()), ANSWER_MS);
  }

  const resize = (): void => {
    if (types) live.resize(sessionId, person.size).catch(fail);
  };

  function lookIfOver(): void {
    client.sessions.get(sessionId, { signal: left.signal }).then(
      ({ status }) => {
        isFinal = isOverAs(status);
        if (isFinal) reading.abort();
      },
      () => {}, // its end, or the next screen, comes over the live connection
    );
  }

  using _signals = interrupts.listen(() => leave('interrupted'));
  const keys = person.listen(onKeys, resize);
  try {
    await person.write(title(`bullpen: ${detachKey.name} detaches`) + freshScreen(person.size.rows));
    resize();
    for (;;) {
      reading = new AbortController();
      const signal = AbortSignal.any([left.signal, reading.signal]);
      try {
        for await (const event of live.session(sessionId, { signal })) {
          await show(event, person, modes);
          if (isOver(event) || (isFinal && event.kind === 'terminal.screen')) return 'ended';
          // A terminal that ended before this screen has no event that says so.
          if (event.kind === 'terminal.screen') lookIfOver();
        }
        return 'ended';
      } catch (error) {
        if (left.signal.aborted && failure !== null) throw failure;
        if (left.signal.aborted) return left.signal.reason;
        if (!reading.signal.aborted) throw error;
      }
    }
  } finally {
    live.close();
    if (releasing !== null) clearTimeout(releasing);
    if (lostFor !== null) clearTimeout(lostFor);
    await person.write(`${modes.reset()}${OLD_TITLE}\r\n\u001b[J`);
    await keys[Symbol.asyncDispose]();
  }
}

/** Shows what an event of a terminal brings. */
async function show(event: SessionStoredEvent, person: PersonTerminal, modes: TerminalModes): Promise<void> {
  if (event.kind !== 'terminal.output' && event.kind !== 'terminal.screen') return;
  const bytes = Buffer.from(event.data, 'base64');
  if (event.kind === 'terminal.screen') await person.write(modes.reset() + CLEAR);
  modes.see(bytes);
  await person.write(bytes);
}

const isOver = (event: SessionStoredEvent): boolean =>
  event.kind === 'session.status' && isOverAs(event.status);

/** Whether the program of a terminal with this status has ended. */
export const isOverAs = (status: SessionStatus): boolean => status === 'closed' || status === 'failed';

/** Parts that a message has room for. No character is split. */
function piecesOf(text: string): readonly string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    const isPair = /[\ud800-\udbff]/.test(text[at + MAX_INPUT - 1] ?? '');
    const end = at + MAX_INPUT - Number(isPair);
    pieces.push(text.slice(at, end));
    at = end;
  }
  return pieces;
}
