import { createHash } from 'node:crypto';
import type { Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { Idempotency } from '../http/ports.ts';

/** An Idempotency-Key as the records know it: callers never meet, and no caller's text is part of a key's name. */
export function scopedKey(principal: Principal, given: Idempotency | null): Idempotency | null {
  if (given === null) return null;
  const key = createHash('sha256')
    .update(JSON.stringify([principal.id, given.key]))
    .digest('base64url');
  return { key, fingerprint: given.fingerprint };
}

export const keyReused = (): AppError =>
  new AppError('idempotency.key_reused', 'the Idempotency-Key was used with another request');
