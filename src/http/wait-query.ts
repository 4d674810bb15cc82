import { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { MAX_WAIT_SECONDS } from './settings.ts';

/** `?wait=SECONDS`, in every route that has it. */
export const Wait = Type.Optional(
  Type.Number({
    minimum: 0,
    maximum: MAX_WAIT_SECONDS,
    description: 'seconds to wait for the end of the job',
  }),
);

export const waitMsOf = (query: { readonly wait?: number }): number => Math.round((query.wait ?? 0) * 1000);

/**
 * Aborts when the caller left or the server stops. Also takes the answer's connection out of the limit on
 * silence: a long poll or a quiet stream is silent on purpose.
 */
export function untilGone(request: FastifyRequest, reply: FastifyReply, stopping: AbortSignal): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  // Node sets the limit again for the connection's next request.
  if (request.raw.socket instanceof Socket) request.raw.socket.setTimeout(0);
  return AbortSignal.any([gone.signal, stopping]);
}
