/** Terminals: sessions of kind `terminal`, whose program runs on a pseudo-terminal (PTY). */
import { type Static, Type } from '#typebox';
import { closed, nullable } from './schema.ts';

/** Most bytes of one input, as UTF-8. */
export const MAX_INPUT_BYTES = 64 * 1024;

const Columns = Type.Integer({ minimum: 1, maximum: 1000, description: 'columns' });
const Rows = Type.Integer({ minimum: 1, maximum: 1000, description: 'rows' });

/** Body of `POST /v1/sessions/:id/resize`. The last one counts for all readers. */
export const TerminalSize = Type.Object(
  { cols: Columns, rows: Rows },
  { ...closed, examples: [{ cols: 120, rows: 40 }] },
);
export type TerminalSize = Static<typeof TerminalSize>;
export const DEFAULT_SIZE: TerminalSize = { cols: 80, rows: 24 };

/** Body of `POST /v1/sessions/:id/input`. */
export const TerminalInput = Type.Object(
  {
    data: Type.String({ minLength: 1, maxLength: MAX_INPUT_BYTES, description: 'what is typed' }),
    clientSeq: Type.Optional(
      Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'returned in the answer' }),
    ),
  },
  { ...closed, examples: [{ data: 'ls\r' }, { data: '\u0003', clientSeq: 7 }] },
);
export type TerminalInput = Static<typeof TerminalInput>;

export const TERMINAL_SIGNALS = ['INT', 'TERM', 'QUIT', 'TSTP', 'CONT'] as const;
export type TerminalSignal = (typeof TERMINAL_SIGNALS)[number];

/** Body of `POST /v1/sessions/:id/signal`. It goes to the processes in the foreground. */
export const TerminalSignalRequest = Type.Object(
  { signal: Type.Enum([...TERMINAL_SIGNALS]) },
  { ...closed, examples: [{ signal: 'INT' }] },
);

/** Answer to an input, a resize or a signal: it has been done. */
export const TerminalDone = Type.Object({
  clientSeq: nullable(Type.Integer(), { description: 'of the input' }),
  repeated: Type.Boolean({ description: 'a message with this id was done before, so this one was not' }),
});
export type TerminalDone = Static<typeof TerminalDone>;

/** What a session has in addition when it is a terminal. */
export const TerminalState = Type.Object({
  cols: Columns,
  rows: Rows,
  command: nullable(Type.String({ description: 'of the settings; null: the CLI of the provider' })),
  exitCode: nullable(Type.Integer(), { description: 'null: it runs, or was killed' }),
});
export type TerminalState = Static<typeof TerminalState>;

/** One command that was typed into a terminal. */
export const TerminalCommand = Type.Object({
  at: Type.String({ description: 'RFC 3339: when it was sent' }),
  text: nullable(Type.String(), {
    description: 'as the screen shows it; null: the screen does not show it (a password)',
  }),
  exitCode: nullable(Type.Integer(), { description: 'null: the shell has not reported one' }),
  finishedAt: nullable(Type.String(), { description: 'RFC 3339; null: not reported' }),
});
export type TerminalCommand = Static<typeof TerminalCommand>;

/**
 * Events of a terminal in its session's stream. `data` is base64: the bytes as the program wrote
 * them. `offset` counts the bytes of the terminal's output before this event.
 *
 * `terminal.screen` replaces everything that a reader has: clear the terminal, set its size, write
 * `data`. A reader that gives no seq begins with it, and so does one whose place is no longer kept.
 */
export type TerminalEvent =
  | { readonly kind: 'terminal.output'; readonly offset: number; readonly data: string }
  | { readonly kind: 'terminal.resized'; readonly cols: number; readonly rows: number }
  | {
      readonly kind: 'terminal.screen';
      readonly offset: number;
      readonly cols: number;
      readonly rows: number;
      readonly data: string;
    };
export const TERMINAL_EVENT_KINDS = ['terminal.output', 'terminal.resized', 'terminal.screen'] as const;

const messageId = nullable(Type.String({ maxLength: 256 }));
const ask = <const Kind extends string, T extends Type.TProperties>(kind: Kind, fields: T) =>
  Type.Object({ kind: Type.Literal(kind), ...fields }, closed);

/** What is asked of the node that has a terminal. `messageId`: the same one is done once. */
export const TerminalAsk = Type.Union([
  ask('input', {
    data: Type.String({ maxLength: MAX_INPUT_BYTES }),
    clientSeq: nullable(Type.Integer()),
    messageId,
  }),
  ask('resize', { cols: Columns, rows: Rows, messageId }),
  ask('signal', { signal: Type.Enum([...TERMINAL_SIGNALS]), messageId }),
  /** The visible screen, as text or with its escape sequences. Also of one that is over. */
  ask('screen', { format: Type.Enum(['text', 'ansi']) }),
  /** The state at an event of the stream, for a reader that begins there. */
  ask('snapshot', {}),
  /** A part of the asciicast file, from a byte on. */
  ask('recording', { from: Type.Integer({ minimum: 0 }) }),
  ask('history', { limit: Type.Integer({ minimum: 1, maximum: 1000 }), cursor: nullable(Type.String()) }),
  ask('close', {}),
  ask('remove', {}),
]);
export type TerminalAsk = Static<typeof TerminalAsk>;

/** The answer to each kind of {@link TerminalAsk}. */
export interface TerminalAnswers {
  readonly input: TerminalDone;
  readonly resize: TerminalDone;
  readonly signal: TerminalDone;
  readonly screen: { readonly text: string };
  /** `seq`: of the last event that the screen contains. */
  readonly snapshot: { readonly seq: number } & Extract<TerminalEvent, { kind: 'terminal.screen' }>;
  /** `next`: where the next part begins; null: this was the last one. */
  readonly recording: { readonly text: string; readonly next: number | null };
  readonly history: { readonly data: readonly TerminalCommand[]; readonly nextCursor: string | null };
  readonly close: null;
  readonly remove: null;
}
