import type { HttpApp } from '../http-app.ts';

/**
 * One line per request at debug. The route's pattern, not the address: a query may hold a ticket or a prompt.
 * The request's id is bound to its logger.
 */
export function requestLog(app: HttpApp): void {
  app.addHook('onResponse', async (request, reply) => {
    request.log.debug(
      {
        method: request.method,
        route: request.routeOptions.url ?? null,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'request answered',
    );
  });
}
