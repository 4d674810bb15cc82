/** The output of a command: its result goes to stdout, everything else to stderr. */
import { styleText } from 'node:util';
import { oneLine, visible } from './format.ts';

/** The used part of a stream. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export type Style = 'dim' | 'red' | 'green' | 'yellow' | 'bold' | 'cyan';

export interface Output {
  /** To stdout, unchanged in a file or pipe and safe on a terminal. */
  text(text: string): void;
  /** Ends the current line of stdout, if any. */
  freshLine(): void;
  /** To stdout as JSON, one line or indented. */
  json(value: unknown, indent?: number): void;
  /** One line to stderr; line breaks in it become spaces. */
  note(line: string, style?: Style): void;
  /** Several lines to stderr. */
  noteLines(lines: string, style?: Style): void;
  /** Colours a text for stdout if it is a terminal. The text must be safe already. */
  paint(style: Style, text: string): string;
  /** Columns of the terminal; null when stdout is not a terminal. */
  readonly width: number | null;
  /** Whether `status` shows anything. */
  readonly live: boolean;
  /**
   * A line on the terminal of stderr, until the next output or null. Not shown after half a line of
   * text.
   */
  status(line: string | null): void;
  /**
   * Keeps everything that is written from now on, in order, until it is called with false: a person
   * is typing on the terminal.
   */
  hold(on: boolean): void;
}

export interface OutputOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** 80 for a terminal of unknown width. */
const columnsOf = ({ columns }: Sink): number => (columns !== undefined && columns > 0 ? columns : 80);

/** Colours only for a terminal and without NO_COLOR (no-color.org). */
export function createOutput({ stdout, stderr, env }: OutputOptions): Output {
  const coloursWanted = (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  const paintFor = (sink: Sink, style: Style | undefined, text: string): string =>
    style !== undefined && coloursWanted && sink.isTTY === true
      ? styleText(style, text, { validateStream: false })
      : text;
  let atLineStart = true;
  const live = stderr.isTTY === true && env['TERM'] !== 'dumb';
  let hasStatus = false;
  const clearStatus = (): void => {
    if (hasStatus) stderr.write('\r\u001b[2K');
    hasStatus = false;
  };
  const write = (text: string): void => {
    if (text === '') return;
    clearStatus();
    stdout.write(text);
    atLineStart = text.endsWith('\n');
  };
  const safe = (text: string): string => (stdout.isTTY === true ? visible(text) : text);
  const freshLine = (): void => {
    if (!atLineStart) write('\n');
  };
  /** Both streams may be one terminal: a note begins a new line there. */
  const beginNote = (): void => {
    clearStatus();
    if (stdout.isTTY === true && stderr.isTTY === true) freshLine();
  };
  let held: (() => void)[] | null = null;
  const inOrder = (act: () => void): void => {
    if (held === null) act();
    else held.push(act);
  };

  return {
    text: (text) => inOrder(() => write(safe(text))),
    freshLine: () => inOrder(freshLine),
    json: (value, indent) => inOrder(() => write(`${safe(JSON.stringify(value, null, indent))}\n`)),
    note: (line, style) =>
      inOrder(() => {
        beginNote();
        stderr.write(`${paintFor(stderr, style, oneLine(line))}\n`);
      }),
    noteLines: (lines, style) =>
      inOrder(() => {
        beginNote();
        stderr.write(`${paintFor(stderr, style, visible(lines))}\n`);
      }),
    paint: (style, text) => paintFor(stdout, style, text),
    get width() {
      return stdout.isTTY === true ? columnsOf(stdout) : null;
    },
    live,
    status(line) {
      if (held !== null) return;
      clearStatus();
      if (!live || line === null || !atLineStart) return;
      hasStatus = true;
      stderr.write(paintFor(stderr, 'dim', oneLine(line, columnsOf(stderr) - 1)));
    },
    hold(on) {
      if (on === (held !== null)) return;
      if (on) {
        beginNote();
        held = [];
        return;
      }
      const acts = held ?? [];
      held = null;
      for (const act of acts) act();
    },
  };
}
