import { ANY_MEMBER, type Cut } from '../protocol/cli.ts';
import { characterBoundary } from './json-copy.ts';
import { JsonShortener } from './shorten-json.ts';

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = Buffer.from('\u{feff}');
const FIRST_HOLD_BYTES = 4096;
/** A larger buffer, grown by one long line, is freed after that line. */
const KEPT_HOLD_BYTES = 256 * 1024;
/** A copy may take this many times `maxTextBytes`: an escape takes up to six bytes. */
const COPY_FACTOR = 16;

export interface LineSplitterOptions {
  /** A longer line (with its `\r`) is shortened when it is JSON, else cut here. */
  readonly maxLineBytes: number;
  /** A text in a shortened line keeps more than this, as far as there is room. */
  readonly maxTextBytes: number;
  /**
   * Receives the lines in order, without `\n` or `\r\n`. `cut` names the parts missing in a line
   * that passed the limit, and is null for all others. A line that is not JSON comes as soon as it
   * passes the limit, without waiting for its newline.
   */
  readonly onLine: (line: string, cut: Cut | null) => void;
}

export interface LineSplitter {
  write(chunk: Buffer): void;
  /** Call it at the end of the stream. Emits a last line without newline. */
  end(): void;
}

/**
 * Splits a byte stream into UTF-8 lines in linear time. It holds at most `maxLineBytes`. For a long
 * line of JSON it also holds a copy of at most 16 times `maxTextBytes` or 4 times `maxLineBytes`.
 *
 * Bytes are decoded a whole line at a time, so a character may be split over two chunks (no UTF-8
 * sequence contains the newline byte). Bad bytes become U+FFFD. A byte order mark at the start is
 * dropped.
 */
export function createLineSplitter({
  maxLineBytes,
  maxTextBytes,
  onLine,
}: LineSplitterOptions): LineSplitter {
  const maxCopyBytes = Math.max(COPY_FACTOR * maxTextBytes, 4 * maxLineBytes);
  let hold: Buffer = Buffer.alloc(0);
  let heldBytes = 0;
  /** Reads a line that has passed the limit. The hold has its beginning. */
  let shortener: JsonShortener | null = null;
  /** The first byte of that line after the hold. */
  let nextByte = 0;
  let discarding = false;
  let atStart = true;

  const emit = (bytes: Buffer, start: number, end: number, cut: Cut | null): void => {
    const stop = cut === null && end > start && bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end;
    let line = bytes.toString('utf8', start, stop);
    if (atStart && line.startsWith('\u{feff}')) line = line.slice(1);
    atStart = false;
    onLine(line, cut);
  };

  const append = (chunk: Buffer, start: number, end: number): void => {
    const needed = heldBytes + end - start;
    if (needed > hold.length) {
      const doubled = Math.max(hold.length * 2, needed, FIRST_HOLD_BYTES);
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(doubled, maxLineBytes)));
      hold.copy(grown, 0, 0, heldBytes);
      hold = grown;
    }
    chunk.copy(hold, heldBytes, start, end);
    heldBytes = needed;
  };

  const release = (): void => {
    heldBytes = 0;
    shortener = null;
    if (hold.length > KEPT_HOLD_BYTES) hold = Buffer.alloc(0);
  };

  /** Emits the beginning of a line that is not JSON. */
  const emitHeld = (): void => {
    emit(hold, 0, characterBoundary(hold, heldBytes, nextByte), new Set([ANY_MEMBER]));
    release();
  };

  /** Takes a part of a line that passes the limit, or has passed it. */
  const takeLong = (chunk: Buffer, start: number, end: number, complete: boolean): void => {
    const from = shortener === null ? start + maxLineBytes - heldBytes : start;
    if (shortener === null) append(chunk, start, from);
    if (isJsonSoFar(chunk, from, end)) {
      if (complete) emitShortened();
    } else {
      emitHeld();
      discarding = !complete;
    }
  };

  const isJsonSoFar = (chunk: Buffer, from: number, end: number): boolean => {
    if (shortener !== null) return shortener.write(chunk, from, end);
    nextByte = chunk[from] ?? 0;
    shortener = new JsonShortener(maxCopyBytes, maxTextBytes);
    const marked = atStart && hold.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
    return (
      shortener.write(hold, marked ? BYTE_ORDER_MARK.length : 0, heldBytes) &&
      shortener.write(chunk, from, end)
    );
  };

  const emitShortened = (): void => {
    const shortened = shortener?.end() ?? null;
    if (shortened === null) {
      emitHeld();
      return;
    }
    release();
    atStart = false;
    onLine(shortened.line, shortened.cut);
  };

  /** Takes the part of a line that lies in `chunk`. `complete`: its newline is at `end`. */
  const take = (chunk: Buffer, start: number, end: number, complete: boolean): void => {
    if (discarding) {
      discarding = !complete;
    } else if (shortener !== null || end - start > maxLineBytes - heldBytes) {
      takeLong(chunk, start, end, complete);
    } else if (!complete) {
      append(chunk, start, end);
    } else if (heldBytes === 0) {
      emit(chunk, start, end, null);
    } else {
      append(chunk, start, end);
      emit(hold, 0, heldBytes, null);
      release();
    }
  };

  return {
    write(chunk) {
      let start = 0;
      let end = chunk.indexOf(NEWLINE);
      while (end !== -1) {
        take(chunk, start, end, true);
        start = end + 1;
        end = chunk.indexOf(NEWLINE, start);
      }
      if (start < chunk.length) take(chunk, start, chunk.length, false);
    },
    end() {
      if (shortener !== null) emitShortened();
      else if (heldBytes > 0) emit(hold, 0, heldBytes, null);
      release();
      discarding = false;
    },
  };
}
