import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Principal } from './principal.ts';

/** How long a ticket opens streams. */
export const TICKET_LIFETIME_MS = 60_000;

/** What a ticket allows: reading one job's events as somebody. */
export interface StreamTicket {
  readonly jobId: string;
  readonly principal: Principal;
}

/** Tickets for browsers, whose EventSource cannot send an Authorization header. */
export interface StreamTickets {
  issue(ticket: StreamTicket): { readonly ticket: string; readonly expiresAt: string };
  /** What a ticket allows, or null when it is forged or too old. */
  find(ticket: string): StreamTicket | null;
}

/** Tickets hold for one process and need no memory: they carry what they allow, signed. */
export function createStreamTickets(now: () => number = Date.now): StreamTickets {
  const signed = createSignedValues<StreamTicket>('stream-ticket', now);
  return {
    issue(ticket) {
      const expiresAtMs = now() + TICKET_LIFETIME_MS;
      return { ticket: signed.seal(ticket, expiresAtMs), expiresAt: new Date(expiresAtMs).toISOString() };
    },
    find: (ticket) => signed.open(ticket),
  };
}

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

/** Makes values that only this process can have made, and that end at a time. */
export interface SignedValues<T> {
  /** `expiresAtMs` is on the clock of `Date.now()`. */
  seal(value: T, expiresAtMs: number): string;
  /** The value, or null when it was changed, was made elsewhere or has ended. */
  open(sealed: string): T | null;
}

const MAX_SEALED_LENGTH = 2048;

/**
 * Values as `payload.mac` under a secret that lives and dies with the process. `purpose` keeps what was
 * sealed for one use from being taken in another.
 */
export function createSignedValues<T>(purpose: string, now: () => number = Date.now): SignedValues<T> {
  const secret = randomBytes(32);
  const macOf = (payload: string): Buffer =>
    createHmac('sha256', secret).update(`${purpose}\n${payload}`).digest();

  return {
    seal(value, expiresAtMs) {
      const payload = Buffer.from(JSON.stringify({ value, expiresAtMs })).toString('base64url');
      return `${payload}.${macOf(payload).toString('base64url')}`;
    },
    open(sealed) {
      if (sealed.length > MAX_SEALED_LENGTH) return null;
      const [payload, mac, ...rest] = sealed.split('.');
      if (payload === undefined || mac === undefined || rest.length > 0) return null;
      const given = Buffer.from(mac, 'base64url');
      const wanted = macOf(payload);
      if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return null;
      // The mac proves that `seal` above wrote this text, so its shape is known.
      const content = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Sealed<T>;
      return content.expiresAtMs > now() ? content.value : null;
    },
  };
}

interface Sealed<T> {
  readonly value: T;
  readonly expiresAtMs: number;
}
