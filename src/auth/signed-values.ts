/** Values that the server signs instead of storing; stream tickets are such. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { NO_LIMITS, OPEN_GRANT } from '../protocol/grant.ts';
import type { Principal } from './principal.ts';

/**
 * A principal that fits into a cookie. A key's rights may be long; they are read again at each use
 * (`Authenticator.current`).
 */
export const short = (principal: Principal): Principal =>
  principal.key === null ? principal : { ...principal, grant: OPEN_GRANT, limits: NO_LIMITS };

/** How long a ticket is valid. */
export const TICKET_LIFETIME_MS = 60_000;

export type TicketFor = 'job' | 'session';

/** The right to read the events of one job, or one session, as one principal. */
export interface StreamTicket {
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
  const signed = createSignedValues<StreamTicket>('stream-ticket', { now });
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

/** Signs values so that the server recognizes its own, until they expire. */
interface SignedValues<T> {
  /** Signs a value. `expiresAtMs` is a time of `Date.now()`. */
  seal(value: T, expiresAtMs: number): string;
  /** The value; null: it was changed, signed elsewhere, or has expired. */
  open(sealed: string): T | null;
}

const MAX_SEALED_LENGTH = 2048;

/**
 * Writes values as `payload.mac`. A value signed for one `purpose` is not valid for another.
 * @param secret default: one of this process
 */
export function createSignedValues<T>(
  purpose: string,
  {
    secret = randomBytes(32),
    now = Date.now,
  }: { readonly secret?: Buffer; readonly now?: () => number } = {},
): SignedValues<T> {
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
