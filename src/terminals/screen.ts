/** The screen of a terminal: a headless xterm that gets all output of the program. */
import type { IMarker } from '@xterm/headless';
import type { TerminalSize } from '../protocol/terminal.ts';
import { copyOf } from './screen-copy.ts';
import { coreOf } from './xterm-core.ts';

/** Lines above the visible screen. */
const SCROLLBACK = 1000;
/** A longer sequence that has not ended is not part of a copy. */
const MAX_UNFINISHED_BYTES = 64 * 1024;

export interface Screen {
  readonly size: TerminalSize;
  /** Parses output. The screen shows it when this returns. */
  write(bytes: Buffer): void;
  resize(size: TerminalSize): void;
  /** The visible rows, without the blanks at their ends. */
  text(): string;
  /** The visible lines; one that the terminal has wrapped counts as one. */
  lines(): readonly string[];
  /** The whole state, as in {@link copyOf}. */
  ansi(): string;
  /**
   * The same as bytes, with the sequence or character whose end has not come yet. A new terminal
   * that gets them continues with the next byte of the program.
   */
  copy(): Buffer;
  /** Where the cursor is. Null on the alternate screen, which no lines leave. */
  mark(): Mark | null;
  /** The text from a mark to the end of its line, or before another mark. */
  textFrom(mark: Mark, end?: Mark): string;
  dispose(): void;
}

/** A place that stays with its text while the screen scrolls. */
export interface Mark {
  readonly marker: IMarker;
  readonly column: number;
}

export interface ScreenListeners {
  /** Answers to queries of the program, for its input. */
  onAnswer(data: string): void;
  /** The program has ended a line. */
  onLineFeed(): void;
  /** A shell has marked a place (OSC 133): `A`, `B`, `C` or `D;0`. */
  onShellMark(mark: string): void;
}

/** xterm is loaded with the first terminal. */
export async function createScreen(size: TerminalSize, listeners: ScreenListeners): Promise<Screen> {
  const { default: xterm } = await import('@xterm/headless');
  const terminal = new xterm.Terminal({
    cols: size.cols,
    rows: size.rows,
    scrollback: SCROLLBACK,
    allowProposedApi: true,
    logLevel: 'off',
  });
  const core = coreOf(terminal);
  let unfinished: Buffer = Buffer.alloc(0);
  let copied: string | null = null;
  terminal.onData(listeners.onAnswer);
  terminal.onLineFeed(listeners.onLineFeed);
  terminal.parser.registerOscHandler(133, (data) => {
    listeners.onShellMark(data);
    return true;
  });

  const rowText = (y: number): string => {
    const buffer = terminal.buffer.active;
    const isContinued = y + 1 < buffer.length && buffer.getLine(y + 1)?.isWrapped === true;
    return buffer.getLine(y)?.translateToString(!isContinued) ?? '';
  };
  const visible = (): readonly number[] => {
    const { baseY } = terminal.buffer.active;
    return Array.from({ length: terminal.rows }, (_, row) => baseY + row);
  };
  const ansi = (): string => {
    copied ??= copyOf(terminal);
    return copied;
  };

  return {
    get size() {
      return { cols: terminal.cols, rows: terminal.rows };
    },
    write(bytes) {
      if (bytes.length === 0) return;
      copied = null;
      try {
        core._writeBuffer.writeSync(bytes);
      } catch {
        // A few sequences make xterm throw, for example ED 1 at the last cell of the screen. What
        // follows them in these bytes is lost for the screen, and the program goes on.
        core._writeBuffer._isSyncWriting = false;
        core._inputHandler._parser.reset();
      }
      unfinished = unfinishedEnd(unfinished, bytes, core._inputHandler._parser.currentState !== 0);
    },
    resize({ cols, rows }) {
      copied = null;
      terminal.resize(cols, rows);
    },
    text: () =>
      visible()
        .map((y) => rowText(y).trimEnd())
        .join('\n')
        .trimEnd(),
    lines() {
      const lines: string[] = [];
      for (const y of visible()) {
        const isWrapped = terminal.buffer.active.getLine(y)?.isWrapped === true;
        if (isWrapped && lines.length > 0) lines.push(`${lines.pop()}${rowText(y)}`);
        else lines.push(rowText(y));
      }
      return lines;
    },
    ansi,
    copy: () => Buffer.concat([Buffer.from(ansi()), unfinished]),
    mark() {
      const { active, normal } = terminal.buffer;
      if (active !== normal) return null;
      const marker = terminal.registerMarker(0);
      return marker === undefined ? null : { marker, column: active.cursorX };
    },
    textFrom(mark, end) {
      const buffer = terminal.buffer.normal;
      const first = mark.marker.line;
      if (first < 0) return ''; // no longer in the scrollback
      const lines: string[] = [];
      for (let y = first; y < buffer.length; y += 1) {
        const isLast =
          y + 1 === buffer.length ||
          (end === undefined ? buffer.getLine(y + 1)?.isWrapped !== true : y >= end.marker.line);
        const from = y === first ? mark.column : 0;
        const to = isLast ? end?.column : undefined;
        const text = buffer.getLine(y)?.translateToString(isLast, from, to) ?? '';
        const isWrapped = buffer.getLine(y)?.isWrapped === true;
        if (isWrapped && lines.length > 0) lines.push(`${lines.pop()}${text}`);
        else lines.push(text);
        if (isLast) break;
      }
      return lines.map((line) => line.trimEnd()).join('\n');
    },
    dispose: () => terminal.dispose(),
  };
}

/**
 * The bytes at the end of the output whose meaning is not complete yet.
 * @param earlier those before `bytes`
 * @param inSequence whether the parser waits for the end of an escape sequence
 */
function unfinishedEnd(earlier: Buffer, bytes: Buffer, inSequence: boolean): Buffer {
  const all = earlier.length === 0 ? bytes : Buffer.concat([earlier, bytes]);
  const from = inSequence ? all.lastIndexOf(0x1b) : wholeLength(all);
  if (from === -1 || all.length - from > MAX_UNFINISHED_BYTES) return Buffer.alloc(0);
  return Buffer.from(all.subarray(from));
}

/** How many of the bytes are whole UTF-8 characters. */
export function wholeLength(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needed > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
