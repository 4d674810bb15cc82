import type { HttpApp } from '../http-app.ts';

/** What every answer carries; a page with a stricter policy replaces `content-security-policy`. */
export const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  // Not no-referrer: with it, browsers send `Origin: null` from our own login form.
  'referrer-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "frame-ancestors 'none'",
} as const;

const STATIC_FILES = /^\/(docs|admin\/queues)\/static\//;

/** Answers are not guessed at, not framed and not kept, except the pages' own static files. */
export function securityHeaders(app: HttpApp): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS);
    if (!STATIC_FILES.test(request.url)) reply.header('cache-control', 'no-store');
  });
}
