import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticator } from '../auth/keyring.ts';
import { type LoginSessions, SESSION_COOKIE } from '../auth/logins.ts';
import { mayUse, type Principal } from '../auth/principal.ts';
import type { StreamTicket, StreamTickets } from '../auth/signed-values.ts';
import { AppError } from '../errors.ts';
import { acceptsByName } from './headers.ts';
import type { Access, HttpApp } from './http-app.ts';
import type { OwnNames } from './own-names.ts';
import { ACCESS } from './scopes.ts';

interface Identities {
  readonly authenticator: Authenticator;
  readonly logins: LoginSessions;
  readonly tickets: StreamTickets;
  readonly names: OwnNames;
}

/**
 * Sets the principal of a request before anything else reads it, and checks that it may use the
 * route: `config.access`. The Authorization header wins over a ticket, a ticket over the cookie.
 */
export function auth(app: HttpApp, identities: Identities): void {
  const { authenticator } = identities;
  app.decorateRequest('principal', null);
  app.decorateRequest('byTicket', null);
  app.decorateRequest('isStillAllowed', () => true);
  app.addHook('onRoute', (route) => {
    const access = route.config?.access ?? ACCESS[route.schema?.operationId ?? ''] ?? 'admin';
    route.config = { ...route.config, access };
  });
  app.addHook('onRequest', async (request, reply) => {
    const { access = 'admin', page = false } = request.routeOptions.config;
    if (request.is404 || access === 'public') return;
    let principal: Principal | null;
    try {
      principal = await identify(request, identities);
    } catch (error) {
      if (page && wantsLoginPage(request, error)) return toLogin(request, reply);
      throw error;
    }
    if (principal === null) return;
    if (!isAllowed(principal, access)) {
      throw new AppError('auth.forbidden', `this needs a token with the scope ${access}`);
    }
    request.principal = { ...principal, origin: { address: request.ip, requestId: request.id } };
    request.isStillAllowed = () => {
      try {
        return isAllowed(authenticator.current(principal), access);
      } catch {
        return false; // a stream that is opened again gets the reason
      }
    };
  });
}

const isAllowed = (principal: Principal | null, access: Exclude<Access, 'public'>): boolean =>
  principal !== null && (access === 'caller' || mayUse(principal, access));

/** The caller; null: it sends its token later. */
async function identify(request: FastifyRequest, identities: Identities): Promise<Principal | null> {
  const { authenticator, logins, tickets, names } = identities;
  const headers = authorizationHeaders(request);
  if (headers.length > 0)
    return authenticator.authenticate(headers.length === 1 ? headers[0] : undefined, request.ip);
  const now = (known: Principal | null) => (known === null ? null : authenticator.current(known));
  const ticket = fromTicket(request, tickets);
  const ticketed = now(ticket?.principal ?? null);
  if (ticket !== null && ticketed !== null) {
    request.byTicket = { noun: ticket.noun, id: ticket.id };
    return ticketed;
  }
  const cookie = request.cookies[SESSION_COOKIE];
  const principal = cookie === undefined ? null : now(logins.find(cookie));
  const { lateAuth = false } = request.routeOptions.config;
  const changesNothing = !lateAuth && (request.method === 'GET' || request.method === 'HEAD');
  const isUsable = principal !== null && names.isOwnPage(request.headers, changesNothing);
  if (lateAuth && !isUsable && ticketIn(request) === undefined) return null;
  if (principal === null) return authenticator.authenticate(undefined, request.ip);
  if (!isUsable) {
    throw new AppError('auth.forbidden', 'the login cookie is taken only from pages of this server');
  }
  return principal;
}

/** Every Authorization header. Node's `headers` keeps only the first. */
function authorizationHeaders({ raw: { rawHeaders } }: FastifyRequest): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'authorization');
}

function fromTicket(request: FastifyRequest, tickets: StreamTickets): StreamTicket | null {
  const { ticket: noun } = request.routeOptions.config;
  if (noun === undefined) return null;
  const ticket = ticketIn(request);
  const { id } = request.params as { readonly id?: unknown }; // as: this runs before validation
  const opened = typeof ticket === 'string' ? tickets.find(ticket) : null;
  if (opened === null || noun === 'any') return opened;
  return opened.noun === noun && opened.id === id ? opened : null;
}

// as: this runs before validation, so it may hold anything.
const ticketIn = ({ query }: FastifyRequest): unknown => (query as { readonly ticket?: unknown }).ticket;

const wantsLoginPage = (request: FastifyRequest, error: unknown): boolean =>
  error instanceof AppError &&
  error.code === 'auth.unauthenticated' &&
  request.method === 'GET' &&
  acceptsByName(request, 'text/html');

const toLogin = (request: FastifyRequest, reply: FastifyReply): FastifyReply =>
  reply.redirect(`/login?next=${encodeURIComponent(request.url)}`, 303);
