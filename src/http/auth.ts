import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticator } from '../auth/keyring.ts';
import type { Principal } from '../auth/principal.ts';
import { type LoginSessions, SESSION_COOKIE, type StreamTickets } from '../auth/signed-values.ts';
import { AppError } from '../errors.ts';
import { acceptsByName } from './headers.ts';
import type { HttpApp } from './http-app.ts';
import type { OwnNames } from './own-names.ts';

interface Identities {
  readonly authenticator: Authenticator;
  readonly sessions: LoginSessions;
  readonly tickets: StreamTickets;
  readonly names: OwnNames;
}

/**
 * Sets the principal of a request before anything else reads it. A route needs a token unless its
 * `config.access` says otherwise. The Authorization header wins over a ticket, a ticket over the
 * cookie.
 */
export function auth(app: HttpApp, identities: Identities): void {
  app.decorateRequest('principal', null);
  app.addHook('onRequest', async (request, reply) => {
    const { access = 'caller', page = false } = request.routeOptions.config;
    if (request.is404 || access === 'public') return;
    try {
      request.principal = identify(request, identities);
    } catch (error) {
      if (page && wantsLoginPage(request, error)) return toLogin(request, reply);
      throw error;
    }
    if (access === 'admin' && !request.principal.admin) {
      throw new AppError('auth.forbidden', 'this needs the admin token');
    }
  });
}

function identify(request: FastifyRequest, identities: Identities): Principal {
  const { authenticator, sessions, tickets, names } = identities;
  const headers = authorizationHeaders(request);
  if (headers.length > 0) return authenticator.authenticate(headers.length === 1 ? headers[0] : undefined);
  const ticketed = fromTicket(request, tickets);
  if (ticketed !== null) return ticketed;
  const cookie = request.cookies[SESSION_COOKIE];
  const principal = cookie === undefined ? null : sessions.find(cookie);
  if (principal === null) return authenticator.authenticate(undefined);
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
  if (request.routeOptions.config.access !== 'ticket') return null;
  // as: this runs before validation, so both may hold anything.
  const { ticket } = request.query as { readonly ticket?: unknown };
  const { id } = request.params as { readonly id?: unknown };
  const opened = typeof ticket === 'string' ? tickets.find(ticket) : null;
  return opened !== null && opened.jobId === id ? opened.principal : null;
}

const wantsLoginPage = (request: FastifyRequest, error: unknown): boolean =>
  error instanceof AppError &&
  error.code === 'auth.unauthenticated' &&
  request.method === 'GET' &&
  acceptsByName(request, 'text/html');

const toLogin = (request: FastifyRequest, reply: FastifyReply): FastifyReply =>
  reply.redirect(`/login?next=${encodeURIComponent(request.url)}`, 303);
