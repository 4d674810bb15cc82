const MAX_PIECES = 200;
const QUOTED_CHARS = 200;

/**
 * Cuts a text into the pieces in which it is streamed: words, or larger pieces where that would be
 * very many.
 */
export function pieces(text: string): readonly string[] {
  const words = text.match(/\s*\S+\s*?(?=\s|$)|\s+$/g) ?? [];
  if (words.length === 0) return text === '' ? [] : [text];
  const perPiece = Math.ceil(words.length / MAX_PIECES);
  const cut: string[] = [];
  for (let index = 0; index < words.length; index += perPiece)
    cut.push(words.slice(index, index + perPiece).join(''));
  return cut;
}

/** A text of exactly so many bytes, always the same. */
export function fillerText(bytes: number): string {
  const line = 'All work and no play makes the offline model a dull one.\n';
  return line.repeat(Math.ceil(bytes / line.length)).slice(0, bytes);
}

/**
 * The answer to a prompt that carries no script, or whose script is over; `said` is the prompt
 * without its directives.
 */
export function defaultText(said: string): string {
  const quoted = said.length > QUOTED_CHARS ? `${said.slice(0, QUOTED_CHARS)}…` : said;
  return `${said === '' ? '' : `You said: "${quoted}". `}This answer comes from Bullpen's offline model.`;
}
