import type { Principal } from './principal.ts';
import { createSignedValues } from './signed-values.ts';

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
