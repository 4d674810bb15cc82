import type { FastifyReply } from 'fastify';
import type { Rate } from '../errors.ts';
import type { HttpApp } from './http-app.ts';
import type { RequestLimits } from './ports.ts';

/** Counts each request of a caller, and refuses it when its limit is reached. */
export function requestLimits(app: HttpApp, limits: RequestLimits): void {
  app.addHook('onRequest', async ({ principal }, reply) => {
    if (principal !== null) sendRate(reply, await limits.takeRequest(principal));
  });
}

/** Adds what is left of a limit to the answer; null: there is none. */
export function sendRate(reply: FastifyReply, rate: Rate | null | undefined): void {
  if (rate) reply.headers(rateHeaders(rate));
}

/**
 * The headers of draft-ietf-httpapi-ratelimit-headers-03, which clients know. Reset is in seconds.
 */
export const rateHeaders = ({ limit, remaining, resetMs }: Rate): Record<string, string> => ({
  'ratelimit-limit': String(limit),
  'ratelimit-remaining': String(remaining),
  'ratelimit-reset': String(Math.ceil(resetMs / 1000)),
});
