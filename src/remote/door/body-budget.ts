import type { FastifyRequest } from 'fastify';
import { AppError } from '../../errors.ts';
import { type HttpApp, onClosed } from '../../http/http-app.ts';

const MB = 1024 * 1024;

/** Bytes of bodies whose signature is not checked yet: of all addresses, and of one. */
export interface BodyBudget {
  readonly allBytes: number;
  readonly addressBytes: number;
}

/** One address can hold four of the largest bodies, so that alone it cannot shut out the others. */
export const BODY_BUDGET: BodyBudget = { allBytes: 64 * MB, addressBytes: 16 * MB };

const BUSY = new AppError('server.busy', 'too many bodies are under way; ask again in a moment', {
  retryAfterSeconds: 1,
});

/**
 * Refuses a body that would need more memory than there is for bodies of strangers. A signature
 * covers the body, so a stranger's body is in memory before it is known as one. A body counts as
 * long as it says it is; one that does not say, as the longest that its route takes.
 *
 * Returns what is called when the signature of a request is checked: its body counts no longer.
 */
export function boundBodies(
  app: HttpApp,
  { allBytes, addressBytes }: BodyBudget,
): (request: FastifyRequest) => void {
  const byAddress = new Map<string, number>();
  const release = new WeakMap<FastifyRequest, () => void>();
  let all = 0;

  app.addHook('preParsing', async (request, reply) => {
    const bytes = bodyBytesOf(request);
    if (bytes === 0) return;
    const { ip } = request;
    const ofAddress = byAddress.get(ip) ?? 0;
    if (all + bytes > allBytes || ofAddress + bytes > addressBytes) {
      reply.header('connection', 'close'); // the body is not read
      throw BUSY;
    }
    all += bytes;
    byAddress.set(ip, ofAddress + bytes);
    release.set(request, () => {
      release.delete(request);
      all -= bytes;
      const left = (byAddress.get(ip) ?? 0) - bytes;
      if (left > 0) byAddress.set(ip, left);
      else byAddress.delete(ip);
    });
    onClosed(reply, () => release.get(request)?.());
  });
  return (request) => release.get(request)?.();
}

/** 0: there is no body, or it is longer than its route takes, and refused unread. */
function bodyBytesOf({ headers, routeOptions, is404 }: FastifyRequest): number {
  if (is404) return 0;
  const limit = routeOptions.bodyLimit;
  if (headers['transfer-encoding'] !== undefined) return limit;
  const length = Number(headers['content-length'] ?? 0);
  return length > limit ? 0 : length;
}
