/** Text for people: safe on a terminal, times, amounts and tables. */

/**
 * Control characters other than newline and tab: C0, DEL, C1, and the marks that reorder or hide
 * text (bidi overrides and isolates, U+061C, U+200E/F, line and paragraph separators). A terminal
 * obeys them: they move the cursor, overwrite text, set the clipboard or type for the user.
 */
const DANGEROUS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text that is safe to show: control characters are spelled out as in JSON (`\u001b`). */
export function visible(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replaceAll(DANGEROUS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Safe text in one line: white space becomes one space; a longer text is cut and ends with `…`. */
export function oneLine(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  const line = visible(text.slice(0, maxLength * 8).replaceAll(/\s+/g, ' ')).trim();
  return cut(line, maxLength);
}

function cut(line: string, maxLength: number): string {
  const characters = [...line];
  if (characters.length <= maxLength) return line;
  return `${characters.slice(0, Math.max(0, maxLength - 1)).join('')}…`;
}

/** A duration: `0.8 s`, `12.3 s`, `4 min 5 s`, `2 h 3 min`. */
export function formatDuration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** An age in one figure: `5s`, `12m`, `3h`, `9d`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

/** A running clock: `0:42`, `1:02:03`. */
export function formatClock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (figure: number): string => String(figure).padStart(2, '0');
  return `${hours === 0 ? minutes : `${hours}:${two(minutes)}`}:${two(seconds % 60)}`;
}

/** Dollars with enough digits for small sums: `$1.25`, `$0.0042`, `$0.000044`. */
export function formatUsd(usd: number): string {
  const size = Math.abs(usd);
  if (size > 0 && size < 0.001) return `$${usd.toFixed(6)}`;
  return `$${usd.toFixed(size < 1 ? 4 : 2)}`;
}

export interface Column<T> {
  readonly title: string;
  /** The text of a cell; the table makes it safe. */
  cell(row: T): string;
  readonly right?: boolean;
  /** Longer cells are cut. */
  readonly maxWidth?: number;
}

const GAP = '  ';

/**
 * Rows as aligned lines under titles.
 * @param width longer lines are cut to it; null: no line is cut
 */
export function renderTable<T>(
  columns: readonly Column<T>[],
  rows: readonly T[],
  width: number | null,
): readonly string[] {
  const cells = rows.map((row) =>
    columns.map(({ cell, maxWidth }) => oneLine(cell(row), maxWidth ?? Number.MAX_SAFE_INTEGER)),
  );
  const lines = [columns.map(({ title }) => title), ...cells];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => lengthOf(line[at] ?? ''))));
  return lines.map((line) => {
    const padded = line.map((text, at) => {
      const space = ' '.repeat((widths[at] ?? 0) - lengthOf(text));
      return columns[at]?.right === true ? space + text : text + space;
    });
    const joined = padded.join(GAP).trimEnd();
    return width === null ? joined : cut(joined, width);
  });
}

const lengthOf = (text: string): number => [...text].length;

/** A time to come, in the caller's time zone: `03:00`, or with its date when it is not today. */
export function formatTime(at: Date, now: Date): string {
  const time = at.toTimeString().slice(0, 5);
  return at.toDateString() === now.toDateString() ? time : `${at.toDateString()} ${time}`;
}
