import { AppError } from '../errors.ts';
import type { HttpApp } from './http-app.ts';

/**
 * Requests under way at the same time, without those that wait for an event. With more, each would
 * wait so long that its answer from Redis comes too late: many would fail after all their work.
 */
export const MAX_UNDER_WAY = 256;
const RETRY_AFTER_SECONDS = 1;

/**
 * Refuses requests while too many are under way. A request counts when its caller is known and its
 * body is read, so a stranger cannot make the server busy.
 */
export function refuseOverload(app: HttpApp): void {
  let underWay = 0;
  app.decorateRequest('beginWaiting', () => undefined);
  app.addHook('preValidation', async (request, reply) => {
    if (request.principal === null) return;
    if (underWay >= MAX_UNDER_WAY) {
      throw new AppError('server.busy', `${underWay} requests are under way; ask again in a moment`, {
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    underWay += 1;
    let counts = true;
    const leave = (): void => {
      if (counts) underWay -= 1;
      counts = false;
    };
    request.beginWaiting = leave;
    reply.raw.once('close', leave);
  });
}
