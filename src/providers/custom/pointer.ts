import { type Cut, isCut } from '../../protocol/cli.ts';

const tokensOf = (pointer: string): readonly string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));

/**
 * The value a JSON pointer (RFC 6901) leads to; undefined when it leads nowhere. Follows own properties only.
 */
export function valueAt(document: unknown, pointer: string): unknown {
  return tokensOf(pointer).reduce<unknown>((value, key) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    return Object.entries(value).find(([name]) => name === key)?.[1];
  }, document);
}

/** Whether a value may not be whole. Of a document that takes many lines, the cut names members on any level. */
export const isCutAt = (cut: Cut | null, pointer: string): boolean =>
  cut !== null && cut.size > 0 && (pointer === '' || tokensOf(pointer).some((token) => isCut(cut, token)));

/** The JSON value a text holds; undefined when it holds none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not JSON: the caller says what that means
  }
}
