import type { HttpApp } from '../http-app.ts';

/**
 * One line per request at debug, also for one whose caller left before the end (`left`). The route's pattern,
 * not the address: a query may hold a ticket or a prompt. The request's id is bound to its logger.
 */
export function requestLog(app: HttpApp): void {
  app.addHook('onRequest', async (request, reply) => {
    const startedAt = performance.now();
    reply.raw.once('close', () => {
      request.log.debug(
        {
          method: request.method,
          route: request.routeOptions.url ?? null,
          status: reply.raw.statusCode,
          ms: Math.round(performance.now() - startedAt),
          ...(reply.raw.writableEnded ? {} : { left: true }),
        },
        'request answered',
      );
    });
  });
}
