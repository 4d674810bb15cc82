import { createHash } from 'node:crypto';

/**
 * The digest of a request, by which a repeated one is recognised.
 * @param what method and path
 */
export const fingerprintOf = (what: string, content: unknown): string =>
  createHash('sha256')
    .update(`${what}\n${canonical(content)}`)
    .digest('hex');

/** JSON with sorted keys. Recursion is safe: bodies are limited in depth. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : part,
  );
}
