import { AppError } from '../errors.ts';

/** Deeper than any output schema, far from where recursive code overflows its stack. */
export const MAX_JSON_DEPTH = 64;
/** Values and keys; keeps parse and validation within milliseconds. */
export const MAX_JSON_ITEMS = 10_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/**
 * Looks over JSON text once, without parsing it, and refuses what would be costly or dangerous to hold:
 * nesting over MAX_JSON_DEPTH, more than `maxItems` items. Whether it is valid JSON is the parser's to say.
 * @throws AppError request.invalid
 */
export function checkJsonShape(text: Buffer, maxItems: number = MAX_JSON_ITEMS): void {
  let depth = 0;
  let items = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === QUOTE) {
      at = endOfString(text, at);
    } else if (byte === 0x7b || byte === 0x5b) {
      depth++;
      if (depth > MAX_JSON_DEPTH) throw tooMuch(`is nested deeper than ${MAX_JSON_DEPTH} levels`);
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--;
    } else if (byte === COMMA) {
      items++;
      if (items > maxItems) throw tooMuch(`has more than ${maxItems} items`);
    }
  }
}

/** The index of the quote that ends the string which begins at `start`. */
function endOfString(text: Buffer, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const byte = text[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at++;
  }
  return text.length;
}

const tooMuch = (what: string): AppError =>
  new AppError('request.invalid', `the body ${what}`, { problems: [{ path: '', message: what }] });
