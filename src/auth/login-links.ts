/**
 * Links with which a browser logs in as the caller that asked for one. They are kept in memory, as
 * digests of their codes.
 */
import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { LoginLink } from '../protocol/key.ts';
import type { Principal } from './principal.ts';

const LIFETIME_MS = 60_000;
/** More at the same time end the oldest one. */
const MAX_LINKS = 1000;

export interface LoginLinks {
  create(principal: Principal): LoginLink;
  /**
   * What `use` makes of the principal of a link, once; null: it was used, is too old, or was never
   * made. A link whose use throws is not used.
   */
  take(code: string, use: (principal: Principal) => Principal | null): Principal | null;
}

export function createLoginLinks(now: () => number = Date.now): LoginLinks {
  const links = new LRUCache<string, { readonly principal: Principal; readonly untilMs: number }>({
    max: MAX_LINKS,
  });
  return {
    create(principal) {
      const code = randomBytes(32).toString('base64url');
      const untilMs = now() + LIFETIME_MS;
      links.set(hash('sha256', code), { principal, untilMs });
      return { code, expiresAt: new Date(untilMs).toISOString() };
    },
    take(code, use) {
      const digest = hash('sha256', code);
      const link = links.get(digest);
      const taken = link === undefined || link.untilMs <= now() ? null : use(link.principal);
      links.delete(digest);
      return taken;
    },
  };
}
