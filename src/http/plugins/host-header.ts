import type { HttpApp } from '../http-app.ts';
import { invalid } from '../validation.ts';

/** HTTP/1.1 asks for a Host (RFC 9112 §3.2). Node would refuse too, but not as a problem. */
export function hostHeader(app: HttpApp): void {
  app.addHook('onRequest', async ({ raw, headers }, reply) => {
    if (raw.httpVersion !== '1.1' || headers.host !== undefined) return;
    reply.header('connection', 'close');
    throw invalid([{ path: '/headers/host', message: 'is required' }]);
  });
}
