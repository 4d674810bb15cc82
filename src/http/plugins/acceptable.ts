import { AppError } from '../../errors.ts';
import { negotiate } from '../accept.ts';
import type { HttpApp } from '../http-app.ts';

const DEFAULT_PRODUCES = ['application/json'];

/** 406 when a route has nothing the caller accepts. Runs before anything is done. */
export function acceptable(app: HttpApp): void {
  app.addHook('onRequest', async (request) => {
    if (request.is404) return;
    const produces = request.routeOptions.config.produces ?? DEFAULT_PRODUCES;
    if (produces.includes('*') || negotiate(request.headers.accept, produces) !== null) return;
    throw new AppError('request.not_acceptable', `this route answers as ${produces.join(' or ')}`);
  });
}
