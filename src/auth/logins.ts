/**
 * Browser logins: cookies that the server signs instead of storing. They hold over a restart,
 * because the secret comes from what stays: the admin token and the settings of JWTs. When one of
 * these changes, all logins end.
 */
import { hash, hkdfSync, randomBytes } from 'node:crypto';
import type { JwtSettings } from './jwt.ts';
import type { EndedLogins } from './ports.ts';
import type { Principal } from './principal.ts';
import { createSignedValues, short } from './signed-values.ts';

/** Name of the login cookie. */
export const SESSION_COOKIE = 'bullpen_session';
const SESSION_LIFETIME_MS = 12 * 60 * 60 * 1000;

export interface LoginSessions {
  /** The value and life of a new login's cookie. The value does not reveal the token. */
  begin(principal: Principal): { readonly cookie: string; readonly maxAgeSeconds: number };
  /** The principal of a cookie, with its login; null: it is not valid. */
  find(cookie: string): Principal | null;
  /** Whether a login has not ended. What it has opened ends with it. */
  isOpen(login: NonNullable<Principal['login']>): boolean;
  /**
   * Ends a login, including for copies of its cookie. It has ended when this is called, and stays
   * so over a restart when this resolves.
   * @throws AppError store.unavailable
   */
  end(cookie: string): Promise<void>;
}

interface Login {
  readonly id: string;
  readonly principal: Principal;
  /** Missing in older cookies. */
  readonly untilMs?: number;
}

interface LoginSessionsOptions {
  readonly secret: Buffer;
  readonly ended: EndedLogins;
  /** Default: the clock. */
  readonly now?: () => number;
}

/**
 * Remembers the logins that were ended before they expired, also before a restart; others need no
 * memory.
 */
export async function createLoginSessions({
  secret,
  ended,
  now = Date.now,
}: LoginSessionsOptions): Promise<LoginSessions> {
  const signed = createSignedValues<Login>('login', { secret, now });
  const endedUntilMs = new Map((await ended.all()).map(({ id, untilMs }) => [id, untilMs]));

  return {
    begin(principal) {
      const { expiresAt } = principal;
      const untilMs = Math.min(now() + SESSION_LIFETIME_MS, expiresAt ?? Number.POSITIVE_INFINITY);
      const id = randomBytes(12).toString('base64url');
      const login: Login = { id, principal: short(principal), untilMs };
      return { cookie: signed.seal(login, untilMs), maxAgeSeconds: Math.round((untilMs - now()) / 1000) };
    },
    find(cookie) {
      const login = signed.open(cookie);
      if (login === null || endedUntilMs.has(login.id)) return null;
      const { id, principal, untilMs = now() + SESSION_LIFETIME_MS } = login;
      return { ...principal, login: { id, untilMs } };
    },
    isOpen: ({ id, untilMs }) => untilMs > now() && !endedUntilMs.has(id),
    async end(cookie) {
      for (const [id, untilMs] of endedUntilMs) if (untilMs <= now()) endedUntilMs.delete(id);
      const login = signed.open(cookie);
      if (login === null || endedUntilMs.has(login.id)) return;
      const untilMs = now() + SESSION_LIFETIME_MS;
      endedUntilMs.set(login.id, untilMs);
      await ended.add({ id: login.id, untilMs }, now());
    },
  };
}

/** The secret of the logins at one server. */
export function loginSecret(adminToken: string, nodeId: string, jwt: JwtSettings): Buffer {
  const { jwtSecret, jwtKeys, jwtIssuer, jwtAudience, jwtProjectClaim } = jwt;
  const purpose = JSON.stringify([
    ...['bullpen login', nodeId],
    ...[jwtSecret, jwtKeys, jwtIssuer, jwtAudience, jwtProjectClaim],
  ]);
  // The purpose may be longer than HKDF takes as its `info`.
  const info = hash('sha256', purpose, 'buffer');
  return Buffer.from(hkdfSync('sha256', adminToken, '', info, 32));
}
