const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = 0xfeff;
const FIRST_HOLD_BYTES = 4096;
/** A hold that one long line made grow is given back when that line is over. */
const KEPT_HOLD_BYTES = 256 * 1024;

export interface LineSplitterOptions {
  /** A line with more bytes (its `\r` counts) is cut here; the rest, up to its newline, is dropped. */
  readonly maxLineBytes: number;
  /**
   * One line without its `\n` or `\r\n`, in order. `truncated` says that it was cut: such a line is given as
   * soon as it passes the limit, without waiting for its newline.
   */
  readonly onLine: (line: string, truncated: boolean) => void;
}

export interface LineSplitter {
  write(chunk: Buffer): void;
  /** The stream ended: gives out a last line that had no newline. */
  end(): void;
}

/**
 * Splits a byte stream into UTF-8 lines in linear time; holds at most `maxLineBytes`.
 *
 * Bytes are decoded a whole line at a time, so a character split over two chunks comes out intact (no UTF-8
 * sequence contains the newline byte). Bad bytes become U+FFFD; a byte order mark at the start is dropped.
 */
export function createLineSplitter({ maxLineBytes, onLine }: LineSplitterOptions): LineSplitter {
  let hold: Buffer = Buffer.alloc(0);
  let heldBytes = 0;
  let discarding = false;
  let atStart = true;

  const emit = (bytes: Buffer, start: number, end: number, truncated: boolean): void => {
    const stop = !truncated && end > start && bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end;
    let line = bytes.toString('utf8', start, stop);
    if (atStart && line.charCodeAt(0) === BYTE_ORDER_MARK) line = line.slice(1);
    atStart = false;
    onLine(line, truncated);
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
    if (hold.length > KEPT_HOLD_BYTES) hold = Buffer.alloc(0);
  };

  /** The part of a line that lies in `chunk`, its newline at `end` or not seen yet. */
  const take = (chunk: Buffer, start: number, end: number, complete: boolean): void => {
    if (discarding) {
      discarding = !complete;
      return;
    }
    const room = maxLineBytes - heldBytes;
    if (end - start > room) {
      append(chunk, start, start + room);
      emit(hold, 0, characterBoundary(hold, heldBytes, chunk[start + room]), true);
      release();
      discarding = !complete;
    } else if (!complete) {
      append(chunk, start, end);
    } else if (heldBytes === 0) {
      emit(chunk, start, end, false);
    } else {
      append(chunk, start, end);
      emit(hold, 0, heldBytes, false);
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
      if (heldBytes > 0) emit(hold, 0, heldBytes, false);
      release();
      discarding = false;
    },
  };
}

const isContinuation = (byte: number | undefined): boolean => ((byte ?? 0) & 0xc0) === 0x80;
const isLead = (byte: number | undefined): boolean => ((byte ?? 0) & 0xc0) === 0xc0;

/** Where to cut at or before `end` so that no character is halved. `next` is the first byte left out. */
function characterBoundary(bytes: Buffer, end: number, next: number | undefined): number {
  if (!isContinuation(next)) return end;
  let cut = end - 1;
  while (cut > 0 && end - cut < 3 && isContinuation(bytes[cut])) cut -= 1;
  return isLead(bytes[cut]) ? cut : end;
}
