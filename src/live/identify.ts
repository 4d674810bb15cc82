/** Who a live connection is, by its `auth` messages. */
import type { Authenticator } from '../auth/keyring.ts';
import type { StreamTickets } from '../auth/signed-values.ts';
import { AppError } from '../errors.ts';
import type { LiveRequest } from '../protocol/live.ts';
import { invalid } from '../protocol/problem.ts';
import type { ActingRequest } from './commands.ts';
import type { LiveIdentity } from './ports.ts';

/**
 * The identity of an `auth` message, from an address.
 * @throws AppError request.invalid, and as `Authenticator.authenticate`
 */
export type Identify = (
  request: Extract<LiveRequest, { type: 'auth' }>,
  address: string,
) => Promise<LiveIdentity>;

export function createIdentify(
  authenticator: Pick<Authenticator, 'authenticateToken' | 'current'>,
  tickets: Pick<StreamTickets, 'find'>,
): Identify {
  return async ({ data: { token, ticket } }, address) => {
    if ((token === undefined) === (ticket === undefined))
      throw invalid([{ path: '/data', message: 'must have either token or ticket' }]);
    if (token !== undefined)
      return { principal: await authenticator.authenticateToken(token, address), only: null };
    const found = tickets.find(ticket ?? '');
    const principal = found && authenticator.current(found.principal);
    if (found === null || principal === null)
      throw new AppError('auth.unauthenticated', 'the ticket is not valid, or no longer');
    return { principal, only: { noun: found.noun, id: found.id } };
  };
}

/**
 * A renewal keeps every subscription, so it must be by the same caller.
 * @throws AppError auth.forbidden
 */
export function checkRenewal(known: LiveIdentity, next: LiveIdentity): void {
  const named = ({ principal: { id, project }, only }: LiveIdentity) => JSON.stringify([id, project, only]);
  if (named(known) === named(next)) return;
  throw new AppError('auth.forbidden', 'renew with a token of the same caller, or connect again');
}

/** @throws AppError auth.forbidden for what a ticket gives no right to */
export function checkTicket(only: NonNullable<LiveIdentity['only']>, request: ActingRequest): void {
  const id = only.noun === 'job' ? request.job_id : request.session_id;
  const command = request.type === 'command' ? request.data.command : null;
  if (id === only.id && (command === 'subscribe' || command === 'unsubscribe')) return;
  throw new AppError('auth.forbidden', `the ticket is a right to read one ${only.noun}`);
}
