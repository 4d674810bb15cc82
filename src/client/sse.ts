/** One thing an event stream says. A comment is only a sign of life. */
export type SseItem =
  | { readonly kind: 'event'; readonly id: string; readonly data: string }
  | { readonly kind: 'comment' };

/** Takes a stream apart, however its chunks are cut. What follows the last whole event is not given out. */
export interface SseParser {
  push(chunk: string): readonly SseItem[];
}

/** A parser of `text/event-stream` (HTML standard, section 9.2.6), without `retry` and without `event`. */
export function createSseParser(): SseParser {
  let rest = '';
  let data: string[] = [];
  let id = '';

  function lineOf(line: string): SseItem | null {
    if (line === '') {
      const complete = data;
      data = [];
      return complete.length === 0 ? null : { kind: 'event', id, data: complete.join('\n') };
    }
    if (line.startsWith(':')) return { kind: 'comment' };
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') data.push(value);
    if (name === 'id' && !value.includes('\0')) id = value;
    return null;
  }

  return {
    push(chunk) {
      // A \r at the end may be half of a line break.
      const text = rest + chunk;
      const whole = text.endsWith('\r') ? text.slice(0, -1) : text;
      const lines = whole.split(/\r\n|\n|\r/);
      rest = (lines.pop() ?? '') + text.slice(whole.length);
      return lines.map(lineOf).filter((item) => item !== null);
    },
  };
}
