/** Login cookies and stream tickets: values that the server signs instead of storing. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { NO_LIMITS, OPEN_GRANT } from '../protocol/grant.ts';
import type { Principal } from './principal.ts';

/** Name of the login cookie. */
export const SESSION_COOKIE = 'bullpen_session';
const SESSION_LIFETIME_MS = 12 * 60 * 60 * 1000;

/** Browser logins. They are valid in this process only, so a restart ends them. */
export interface LoginSessions {
  /** The value and life of a new login's cookie. The value does not reveal the token. */
  begin(principal: Principal): { readonly cookie: string; readonly maxAgeSeconds: number };
  /** The principal of a cookie; null: it is not valid. */
  find(cookie: string): Principal | null;
  /** Ends a login, including for copies of its cookie. */
  end(cookie: string): void;
}

interface Login {
  readonly id: string;
  readonly principal: Principal;
}

/** Keeps a list of the logins that were ended before they expired; others need no memory. */
export function createLoginSessions(now: () => number = Date.now): LoginSessions {
  const signed = createSignedValues<Login>('login', now);
  const endedUntilMs = new Map<string, number>();

  return {
    begin(principal) {
      const login: Login = { id: randomBytes(12).toString('base64url'), principal: short(principal) };
      const { expiresAt } = principal;
      const untilMs = Math.min(now() + SESSION_LIFETIME_MS, expiresAt ?? Number.POSITIVE_INFINITY);
      return { cookie: signed.seal(login, untilMs), maxAgeSeconds: Math.round((untilMs - now()) / 1000) };
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

/**
 * A principal that fits into a cookie. A key's rights may be long; they are read again at each use
 * (`Authenticator.current`).
 */
const short = (principal: Principal): Principal =>
  principal.key === null ? principal : { ...principal, grant: OPEN_GRANT, limits: NO_LIMITS };

/** How long a ticket is valid. */
export const TICKET_LIFETIME_MS = 60_000;

export type TicketFor = 'job' | 'session';

/** The right to read the events of one job, or one session, as one principal. */
interface StreamTicket {
  readonly noun: TicketFor;
  readonly id: string;
  readonly principal: Principal;
}

/** Tickets for browsers, whose EventSource cannot send an Authorization header. */
export interface StreamTickets {
  issue(ticket: StreamTicket): { readonly ticket: string; readonly expiresAt: string };
  /** The right that a ticket gives; null: it is forged or too old. */
  find(ticket: string): StreamTicket | null;
}

/** Tickets are valid in this process only. */
export function createStreamTickets(now: () => number = Date.now): StreamTickets {
  const signed = createSignedValues<StreamTicket>('stream-ticket', now);
  return {
    issue(ticket) {
      const expiresAtMs = now() + TICKET_LIFETIME_MS;
      const { noun, id, principal } = ticket;
      const sealed = signed.seal({ noun, id, principal: short(principal) }, expiresAtMs);
      return { ticket: sealed, expiresAt: new Date(expiresAtMs).toISOString() };
    },
    find: (ticket) => signed.open(ticket),
  };
}

/** Signs values so that this process recognizes its own, until they expire. */
interface SignedValues<T> {
  /** Signs a value. `expiresAtMs` is a time of `Date.now()`. */
  seal(value: T, expiresAtMs: number): string;
  /** The value; null: it was changed, signed elsewhere, or has expired. */
  open(sealed: string): T | null;
}

const MAX_SEALED_LENGTH = 2048;

/**
 * Writes values as `payload.mac`, with a secret of this process. A value signed for one `purpose`
 * is not valid for another.
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
      // as: the mac proves that `seal` wrote this text
      const content = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Sealed<T>;
      return content.expiresAtMs > now() ? content.value : null;
    },
  };
}

interface Sealed<T> {
  readonly value: T;
  readonly expiresAtMs: number;
}
