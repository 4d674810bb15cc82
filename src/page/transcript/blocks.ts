/** A Markdown text, cut where a part of it can be read alone. */

export interface Blocks {
  readonly text: string;
  readonly blocks: readonly string[];
  /**
   * Where the last two blocks begin, or the only one. Those before them stay while the text grows.
   * A line that has only begun may yet belong to the block before it.
   */
  readonly from: number;
  /** How many blocks are before that. */
  readonly settled: number;
}

/** What a list or a quote begins with. */
const BEGINS = /^ {0,3}(?:[-*+] |\d+[.)] |>)/;
const EMPTY_LINES = /\r?\n(?:[ \t]*\r?\n)+/g;

/**
 * The blocks of a text. A fenced block, a list or a quote may have empty lines.
 * @param before the blocks of the same text when it was shorter: only its last two are read again
 */
export function blocksOf(text: string, before: Blocks | null = null): Blocks {
  const isLonger = before !== null && text.startsWith(before.text);
  const blocks = isLonger ? before.blocks.slice(0, before.settled) : [];
  let from = isLonger ? before.from : 0;
  let previous = from;
  let end = from;
  let fence: string | null = null;
  for (const [start, part] of partsOf(text, from)) {
    const goesOn = BEGINS.test(text.slice(from, from + 20)) && (BEGINS.test(part) || /^[ \t]/.test(part));
    if (fence === null && !goesOn && start > from) {
      blocks.push(text.slice(from, end));
      previous = from;
      from = start;
    }
    for (const [, mark] of part.matchAll(/^[ \t]*(`{3,}|~{3,})/gm))
      fence = fence === null ? (mark ?? null) : mark?.startsWith(fence) === true ? null : fence;
    end = start + part.length;
  }
  blocks.push(text.slice(from, end));
  return { text, blocks, from: previous, settled: blocks.length - (previous === from ? 1 : 2) };
}

/** What is between empty lines, with where it begins. */
function* partsOf(text: string, from: number): Generator<readonly [number, string]> {
  let start = from;
  for (const { index, 0: lines } of text.slice(from).matchAll(EMPTY_LINES)) {
    yield [start, text.slice(start, from + index)];
    start = from + index + lines.length;
  }
  yield [start, text.slice(start)];
}
