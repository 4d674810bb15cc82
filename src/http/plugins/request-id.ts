import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { HttpApp } from '../http-app.ts';

const SANE = /^[A-Za-z0-9._~:-]{1,128}$/;

/** The caller's X-Request-Id when it is short and plain, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && SANE.test(given) ? given : randomUUID();
}

/** Every answer names its request. */
export function requestIds(app: HttpApp): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
}
