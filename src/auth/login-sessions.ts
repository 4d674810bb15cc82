import { randomBytes } from 'node:crypto';
import type { Principal } from './principal.ts';
import { createSignedValues } from './signed-values.ts';

/** Name of the login cookie. */
export const SESSION_COOKIE = 'bullpen_session';
const SESSION_LIFETIME_MS = 12 * 60 * 60 * 1000;

/** Browser logins of this process; a restart ends them all. */
export interface LoginSessions {
  /** Starts one: the cookie's value and its life. The value says nothing about the token. */
  begin(principal: Principal): { readonly cookie: string; readonly maxAgeSeconds: number };
  /** Who a cookie logs in, or null. */
  find(cookie: string): Principal | null;
  /** Ends one, also for copies of the cookie. */
  end(cookie: string): void;
}

interface Login {
  readonly id: string;
  readonly principal: Principal;
}

/** Keeps no list of logins, only of those ended before their time. */
export function createLoginSessions(now: () => number = Date.now): LoginSessions {
  const signed = createSignedValues<Login>('login', now);
  const endedUntilMs = new Map<string, number>();

  return {
    begin(principal) {
      const login: Login = { id: randomBytes(12).toString('base64url'), principal };
      const cookie = signed.seal(login, now() + SESSION_LIFETIME_MS);
      return { cookie, maxAgeSeconds: SESSION_LIFETIME_MS / 1000 };
    },
    find(cookie) {
      const login = signed.open(cookie);
      return login === null || endedUntilMs.has(login.id) ? null : login.principal;
    },
    end(cookie) {
      for (const [id, untilMs] of endedUntilMs) if (untilMs <= now()) endedUntilMs.delete(id);
      const login = signed.open(cookie);
      if (login !== null) endedUntilMs.set(login.id, now() + SESSION_LIFETIME_MS);
    },
  };
}
