import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Idempotency } from './ports.ts';
import { invalid } from './validation.ts';

const VISIBLE = /^[\x21-\x7e]{1,255}$/;

/**
 * The request's Idempotency-Key with a fingerprint of what it asks, null without a key. The same request in
 * another spelling (order of fields, spaces, as text with a query) has the same fingerprint; how long the
 * caller waits for the answer is not part of it.
 * @throws AppError request.invalid
 */
export function idempotencyOf(request: FastifyRequest, content: unknown): Idempotency | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key !== 'string' || !VISIBLE.test(key)) {
    const message = 'must be 1 to 255 visible ASCII characters';
    throw invalid([{ path: '/headers/idempotency-key', message }]);
  }
  const [path] = request.url.split('?', 1);
  const asked = `${request.method} ${path}\n${canonical(content)}`;
  return { key, fingerprint: createHash('sha256').update(asked).digest('hex') };
}

/** JSON with the keys in order. Safe to recurse: bodies are limited in depth. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : part,
  );
}
