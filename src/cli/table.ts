import { oneLine } from './plain-text.ts';

export interface Column<T> {
  readonly title: string;
  /** The cell's text; anything in it is made harmless. */
  cell(row: T): string;
  readonly right?: boolean;
  /** Longer cells are cut. */
  readonly maxWidth?: number;
}

const GAP = '  ';

/**
 * Rows as lines under titles, columns aligned. The last column is cut at the terminal's width.
 * @param width null: nothing is cut for it
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
    return width === null ? joined : oneLineAt(joined, width);
  });
}

const lengthOf = (text: string): number => [...text].length;

/** Cut without touching the spaces that align. */
const oneLineAt = (line: string, width: number): string =>
  lengthOf(line) <= width ? line : `${[...line].slice(0, Math.max(0, width - 1)).join('')}…`;
