import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AppError } from '../../errors.ts';
import type { HttpApp } from '../http-app.ts';
import { sendProblem, toAppError } from '../problem.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

/** Every error leaves as problem+json. What is not the caller's fault is logged with its cause. */
export function errorHandler(app: HttpApp): void {
  app.setErrorHandler((error, request, reply) => {
    const problem = toAppError(error);
    logProblem(problem, error, request);
    return sendProblem(request, reply, problem);
  });
}

/** For what the router refuses before any hook ran: a path it cannot decode, a parameter far too long. */
export function answerFrameworkError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
  sendProblem(request, reply, toAppError(error));
}

function logProblem(problem: AppError, thrown: unknown, request: FastifyRequest): void {
  if (problem.status < 500) return;
  const fields = { err: thrown, code: problem.code, route: request.routeOptions.url ?? null };
  if (problem.code === 'internal.error') request.log.error(fields, 'request failed');
  else request.log.warn(fields, 'request refused');
}
