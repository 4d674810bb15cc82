/** JSON that comes from outside: it may be broken, or too deep to be written again. */

/** The value of a JSON text; undefined when the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller knows what that means
  }
}

/** The same for a line of stdout, which may hold anything: undefined when it is no JSON object. */
export const parseJsonLine = (line: string): unknown => (line.startsWith('{') ? parseJson(line) : undefined);

/** A value as JSON; null when there is no value, or it is nested too deeply. */
export function jsonText(value: unknown): string | null {
  try {
    return JSON.stringify(value) ?? null;
  } catch {
    return null; // RangeError: JSON.parse accepts deeper values than JSON.stringify
  }
}

/** Whether two values are the same JSON, in any order of their members. Too deep: no. */
export function isSameJson(one: unknown, other: unknown, depth = 500): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other) || depth === 0) return false;
  const members = new Map(Object.entries(other));
  const entries = Object.entries(one);
  return (
    entries.length === members.size &&
    entries.every(([name, value]) => members.has(name) && isSameJson(value, members.get(name), depth - 1))
  );
}
