/** A value as JSON; null where it cannot be written: it is nested too deeply, or there is none. */
export function jsonText(value: unknown): string | null {
  try {
    return JSON.stringify(value) ?? null;
  } catch {
    return null; // RangeError: JSON.parse reads what is too deep for JSON.stringify
  }
}
