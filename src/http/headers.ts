import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import { AppError } from '../errors.ts';
import { invalid } from '../protocol/problem.ts';
import type { HttpApp } from './http-app.ts';
import type { OwnNames } from './own-names.ts';

const PLAIN_ID = /^[A-Za-z0-9._~:-]{1,128}$/;
const STATIC_FILES = /^\/((docs|admin\/queues)\/static|assets)\//;
const DEFAULT_PRODUCES = ['application/json'];

/**
 * Headers of every answer. A page replaces `content-security-policy`; other answers show and load
 * nothing when they are opened in a browser.
 */
export const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  // Not no-referrer: browsers would send `Origin: null` from our own login form.
  'referrer-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy':
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
} as const;

/** Browsers know the second one in HTTPS only, and report it as an error elsewhere. */
const HTTPS_HEADERS = {
  'strict-transport-security': 'max-age=31536000',
  'cross-origin-opener-policy': 'same-origin',
} as const;

/**
 * Sets the headers that every answer has, logs each request, and refuses one whose Host is missing
 * or names another server. X-Forwarded-Host does not count: a page may set it.
 */
export function commonHeaders(app: HttpApp, names: OwnNames): void {
  const headers = { ...SECURITY_HEADERS, ...(names.httpsOnly ? HTTPS_HEADERS : {}) };
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id).headers(headers);
    if (!STATIC_FILES.test(request.url)) reply.header('cache-control', 'no-store');
    logAnswer(request, reply);
    const { host } = request.headers;
    if (host !== undefined) {
      if (names.knows(host, request.socket.localAddress)) return;
      const detail = `"${host}" is no name of this server; if it should be one, set BULLPEN_PUBLIC_URL`;
      throw new AppError('request.misdirected', detail);
    }
    // RFC 9112 §3.2. Node would refuse it too, but without a problem document.
    if (request.raw.httpVersion !== '1.1') return;
    reply.header('connection', 'close');
    throw invalid([{ path: '/headers/host', message: 'is required' }]);
  });
}

/** The caller's X-Request-Id if it is short and plain, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && PLAIN_ID.test(given) ? given : randomUUID();
}

/**
 * Logs one line per request at debug; `left`: the caller left before the end. The line has the
 * pattern of the route instead of the address, because a query may hold a ticket or a prompt.
 */
function logAnswer(request: FastifyRequest, reply: FastifyReply): void {
  const startedAt = performance.now();
  reply.raw.once('close', () => {
    request.log.debug(
      {
        method: request.method,
        from: request.ip,
        route: request.routeOptions.url ?? null,
        status: reply.raw.statusCode,
        ms: Math.round(performance.now() - startedAt),
        ...(reply.raw.writableEnded ? {} : { left: true }),
      },
      'request answered',
    );
  });
}

/** Answers 406 before the route runs, if the route produces nothing that the caller accepts. */
export function acceptable(app: HttpApp): void {
  app.addHook('onRequest', async (request) => {
    if (request.is404) return;
    const produces = request.routeOptions.config.produces ?? DEFAULT_PRODUCES;
    if (produces.includes('*') || negotiate(request, produces) !== null) return;
    throw new AppError('request.not_acceptable', `this route answers as ${produces.join(' or ')}`);
  });
}

/** The type of `offers` that the caller prefers, or null. Without Accept it is the first. */
export const negotiate = (request: FastifyRequest, offers: readonly string[]): string | null =>
  accepted(request).mediaType([...offers]) ?? null;

/** Whether the Accept header names this very type; wildcards do not count. */
export const acceptsByName = (request: FastifyRequest, type: string): boolean =>
  accepted(request).mediaTypes().includes(type);

/** The Accept header without parameters but `q`: `application/json; charset=utf-8` means JSON. */
function accepted({ headers }: FastifyRequest): Negotiator {
  const accept = headers.accept?.replaceAll(/;(?!\s*q\s*=)[^;,]*/gi, '').trim();
  return new Negotiator({ headers: { accept: accept || '*/*' } });
}
