import { AppError } from '../../errors.ts';
import type { HttpApp } from '../http-app.ts';

const RETRY_AFTER_SECONDS = 5;

/**
 * The way out: from `beginStopping()` on, new requests are refused and everything that waits for events ends.
 * `close()` begins it too.
 */
export function stopping(app: HttpApp): void {
  const controller = new AbortController();
  app.decorate('stopping', controller.signal);
  app.decorate('beginStopping', () => controller.abort());

  app.addHook('onRequest', async (request, reply) => {
    if (!controller.signal.aborted) return;
    reply.header('connection', 'close');
    if (request.routeOptions.config.whileStopping === true) return;
    throw new AppError('server.stopping', 'the server is stopping; ask again in a moment', {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  });
  app.addHook('preClose', async () => controller.abort());
}
