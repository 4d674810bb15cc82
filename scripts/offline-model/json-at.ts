/**
 * Reads the one JSON object that begins at `start` (after white space) and ignores what follows it.
 *
 * @returns the object and the index after it, or null when there is none.
 */
export function readJsonAt(
  text: string,
  start: number,
): { value: Record<string, unknown>; end: number } | null {
  const open = start + (/^\s*/.exec(text.slice(start))?.[0].length ?? 0);
  if (text[open] !== '{') return null;
  const end = closingBrace(text, open);
  if (end === null) return null;
  try {
    // A text that begins with "{" parses to an object or not at all.
    return { value: JSON.parse(text.slice(open, end)) as Record<string, unknown>, end };
  } catch {
    return null;
  }
}

function closingBrace(text: string, open: number): number | null {
  let depth = 0;
  let quoted = false;
  for (let index = open; index < text.length; index += 1) {
    const char = text[index];
    if (quoted) {
      if (char === '\\') index += 1;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === '{') depth += 1;
    else if (char === '}' && --depth === 0) return index + 1;
  }
  return null;
}
