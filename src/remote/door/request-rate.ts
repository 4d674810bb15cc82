import rateLimit from '@fastify/rate-limit';
import { AppError } from '../../errors.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { rateHeaders } from '../../http/rate-limits.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Requests to the route do not count against the limit of their address. */
    uncounted?: boolean;
  }
}

const MINUTE_MS = 60_000;

/**
 * Counts requests by the address of the connection, IPv6 by network of 64 bits. X-Forwarded-For
 * does not count, because every caller may send it. Too many are 429 before any other work.
 */
export async function limitRequests(
  app: HttpApp,
  {
    perMinute,
    exempt,
  }: {
    /** Null: any number. */
    readonly perMinute: number | null;
    /** Addresses that are not counted. */
    readonly exempt: readonly string[];
  },
): Promise<void> {
  if (perMinute === null) return;
  await app.register(rateLimit, { global: false, max: perMinute, timeWindow: MINUTE_MS });
  const take = app.createRateLimit();
  const free = new Set(exempt.map(plainAddress));
  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.config.uncounted === true || free.has(plainAddress(request.ip))) return;
    const taken = await take(request);
    if (taken.isAllowed) return;
    const { max: limit, remaining, ttl: resetMs, ttlInSeconds: retryAfterSeconds } = taken;
    const rate = { limit, remaining, resetMs };
    if (taken.isExceeded) {
      const detail = `this address may make ${limit} requests a minute`;
      throw new AppError('limit.requests_per_minute', detail, { rate, retryAfterSeconds });
    }
    reply.headers(rateHeaders(rate));
  });
}

/** An IPv4 address without the prefix that it has on a socket of IPv6. */
const plainAddress = (address: string): string => address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, '');
