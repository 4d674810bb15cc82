/**
 * Control characters beside newline and tab: C0, DEL, C1, and the marks that reorder or hide text (bidi
 * overrides and isolates, U+061C, U+200E/F, line and paragraph separators). On a terminal they move the cursor,
 * rewrite what stands there, set the clipboard or type for the user.
 */
const DANGEROUS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text that is safe to show: what a terminal would obey is spelled out as in JSON (`\u001b`). */
export function visible(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replaceAll(DANGEROUS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The same in one line: white space becomes one space; longer texts are cut and end with `…`. */
export function oneLine(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  const line = visible(text.slice(0, maxLength * 8).replaceAll(/\s+/g, ' ')).trim();
  const characters = [...line];
  return characters.length <= maxLength
    ? line
    : `${characters.slice(0, Math.max(0, maxLength - 1)).join('')}…`;
}
