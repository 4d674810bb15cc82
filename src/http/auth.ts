import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticator } from '../auth/keyring.ts';
import { mayUse, type Principal } from '../auth/principal.ts';
import { type LoginSessions, SESSION_COOKIE, type StreamTickets } from '../auth/signed-values.ts';
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
  app.decorateRequest('isStillAllowed', () => true);
  app.addHook('onRoute', (route) => {
    const access = route.config?.access ?? ACCESS[route.schema?.operationId ?? ''] ?? 'admin';
    route.config = { ...route.config, access };
  });
  app.addHook('onRequest', async (request, reply) => {
    const { access = 'admin', page = false } = request.routeOptions.config;
    if (request.is404 || access === 'public') return;
    let principal: Principal;
    try {
      principal = await identify(request, identities);
    } catch (error) {
      if (page && wantsLoginPage(request, error)) return toLogin(request, reply);
      throw error;
    }
    if (!isAllowed(principal, access)) {
      throw new AppError('auth.forbidden', `this needs a token with the scope ${access}`);
    }
    request.principal = { ...principal, origin: { address: request.ip, requestId: request.id } };
    request.isStillAllowed = () => isAllowed(authenticator.current(principal), access);
  });
}

const isAllowed = (principal: Principal | null, access: Exclude<Access, 'public'>): boolean =>
  principal !== null && (access === 'caller' || mayUse(principal, access));

async function identify(request: FastifyRequest, identities: Identities): Promise<Principal> {
  const { authenticator, logins, tickets, names } = identities;
  const headers = authorizationHeaders(request);
  if (headers.length > 0)
    return authenticator.authenticate(headers.length === 1 ? headers[0] : undefined, request.ip);
  const now = (known: Principal | null) => (known === null ? null : authenticator.current(known));
  const ticketed = now(fromTicket(request, tickets));
  if (ticketed !== null) return ticketed;
  const cookie = request.cookies[SESSION_COOKIE];
  const principal = cookie === undefined ? null : now(logins.find(cookie));
  if (principal === null) return authenticator.authenticate(undefined, request.ip);
  if (!names.isOwnPage(request.headers, request.method === 'GET' || request.method === 'HEAD')) {
    throw new AppError('auth.forbidden', 'the login cookie is taken only from pages of this server');
  }
  return principal;
}

/** Every Authorization header. Node's `headers` keeps only the first. */
function authorizationHeaders({ raw: { rawHeaders } }: FastifyRequest): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'authorization');
}

function fromTicket(request: FastifyRequest, tickets: StreamTickets): Principal | null {
  const { ticket: noun } = request.routeOptions.config;
  if (noun === undefined) return null;
  // as: this runs before validation, so both may hold anything.
  const { ticket } = request.query as { readonly ticket?: unknown };
  const { id } = request.params as { readonly id?: unknown };
  const opened = typeof ticket === 'string' ? tickets.find(ticket) : null;
  return opened !== null && opened.noun === noun && opened.id === id ? opened.principal : null;
}

const wantsLoginPage = (request: FastifyRequest, error: unknown): boolean =>
  error instanceof AppError &&
  error.code === 'auth.unauthenticated' &&
  request.method === 'GET' &&
  acceptsByName(request, 'text/html');

const toLogin = (request: FastifyRequest, reply: FastifyReply): FastifyReply =>
  reply.redirect(`/login?next=${encodeURIComponent(request.url)}`, 303);
