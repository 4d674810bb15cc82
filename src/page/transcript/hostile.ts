/** Text that was written to deceive a terminal or a reader, made harmless and readable. */

/** Sequences that a terminal obeys, without the colours (`ESC [ … m`). */
const OBEYED =
  /\x1b\][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[PX^_][^\x1b]*(?:\x1b\\|$)|\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b\[[<-?][0-?]*[ -/]*m|\x1b[^[\]PX^_]|\x9b[0-?]*[ -/]*[@-~]/g;
const COLOURS = /\x1b\[[0-?]*[ -/]*m/g;
/** Control characters but tab, newline and ESC. */
const CONTROLS = /[\0-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]/g;
/** Characters that turn the direction of text, so that it reads as something else. */
const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** What a terminal or a browser obeys or does not show. Tab and newline are shown as they are. */
const UNSEEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * What a person decides on: nothing is left out, and what is not seen is written as in JSON
 * (`\u001b`).
 */
export const spelledOut = (text: string): string =>
  text.replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** An output: only colours are left of the control sequences. */
export function colouredText(text: string): string {
  const plain = text
    .replaceAll('\r\n', '\n')
    .replace(OBEYED, '')
    .split('\n')
    // What a progress bar has written over is not shown.
    .map((line) => line.slice(line.replace(/\r+$/, '').lastIndexOf('\r') + 1))
    .join('\n');
  return showDirections(plain.replace(CONTROLS, ''));
}

/** No control sequences at all. */
export const visibleText = (text: string): string =>
  showDirections(
    text
      .replace(/\r\n?/g, '\n')
      .replace(OBEYED, '')
      .replace(COLOURS, '')
      .replace(CONTROLS, '')
      .replaceAll('\x1b', ''),
  );

const showDirections = (text: string): string =>
  text.replace(DIRECTIONS, (one) => `⟨U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
