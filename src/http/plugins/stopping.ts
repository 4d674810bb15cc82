import { AppError } from '../../errors.ts';
import type { HttpApp } from '../http-app.ts';

const RETRY_AFTER_SECONDS = 5;

/**
 * The way out, in two steps that `close()` takes too: `refuseNewRequests()` turns new requests away and lets
 * streams follow the jobs that still run; `beginStopping()` also ends everything that waits for events.
 */
export function stopping(app: HttpApp): void {
  const controller = new AbortController();
  let refusing = false;
  const refuse = (): void => {
    refusing = true;
  };
  const stop = (): void => {
    refuse();
    controller.abort();
  };
  app.decorate('stopping', controller.signal);
  app.decorate('refuseNewRequests', refuse);
  app.decorate('beginStopping', stop);

  app.addHook('onRequest', async (request, reply) => {
    if (!refusing) return;
    reply.header('connection', 'close');
    if (request.routeOptions.config.whileStopping === true) return;
    throw new AppError('server.stopping', 'the server is stopping; ask again in a moment', {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  });
  app.addHook('preClose', async () => stop());
}
