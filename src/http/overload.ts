import { AppError } from '../errors.ts';
import { type HttpApp, onClosed } from './http-app.ts';
import { refuseAtOnce } from './problem.ts';

/**
 * Requests under way at the same time, without those that wait for an event. With more, each would
 * wait so long that its answer from Redis comes too late: many would fail after all their work.
 */
export const MAX_UNDER_WAY = 256;
const BUSY = new AppError('server.busy', 'too many requests are under way; ask again in a moment', {
  retryAfterSeconds: 1,
});

/**
 * Refuses requests while too many are under way, before any work on them. A request counts when its
 * caller is known and its body is read, so a stranger cannot make the server busy.
 */
export function refuseOverload(app: HttpApp): void {
  let underWay = 0;
  app.decorateRequest('beginWaiting', () => undefined);
  app.addHook('onRequest', (request, reply, next) => {
    if (underWay < MAX_UNDER_WAY || request.routeOptions.config.whileStopping === true) next();
    else refuseAtOnce(request, reply, BUSY);
  });
  app.addHook('preValidation', async (request, reply) => {
    if (request.principal === null) return;
    underWay += 1;
    let counts = true;
    const leave = (): void => {
      if (counts) underWay -= 1;
      counts = false;
    };
    request.beginWaiting = leave;
    onClosed(reply, leave);
  });
}
