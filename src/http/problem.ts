import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { AppError, ERROR_CODES, type ErrorCode } from '../errors.ts';

/** The body of every error answer (RFC 9457). */
export const ProblemDetails = Type.Object({
  type: Type.String({ description: 'reference to the meaning of the code' }),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String({ description: 'one of the table of error codes' }),
  detail: Type.String(),
  requestId: Type.String(),
  errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }))),
});
export type ProblemDetails = Static<typeof ProblemDetails>;

export const PROBLEM_TYPE = 'application/problem+json';
const DEFAULT_RETRY_AFTER_SECONDS = 2;

/** What Fastify and its parsers throw before a handler is reached: its code → ours and what to say. */
const FRAMEWORK_ERRORS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['request.too_large', 'the body is larger than this server takes'],
  FST_ERR_CTP_INVALID_JSON_BODY: [
    'request.invalid',
    'the body is not valid JSON, or has a "__proto__" or "constructor.prototype" key',
  ],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['request.unsupported_media_type', 'the route does not take this type'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['request.invalid', 'the body is not as long as Content-Length says'],
  FST_ERR_BAD_URL: ['request.invalid', 'the path is not validly percent-encoded'],
  FST_ERR_MAX_PARAM_LENGTH: ['request.not_found', 'there is nothing at this path'],
};

/** Anything thrown on the way of a request, as an AppError; what is unknown loses its details. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const known = typeof error === 'object' && error !== null ? error : {};
  const code = 'code' in known && typeof known.code === 'string' ? known.code : '';
  const framework = FRAMEWORK_ERRORS[code];
  if (framework !== undefined) return new AppError(framework[0], framework[1], { cause: error });
  const status = 'statusCode' in known && typeof known.statusCode === 'number' ? known.statusCode : 500;
  if (status >= 400 && status < 500) {
    return new AppError('request.invalid', 'the request could not be read', { cause: error });
  }
  return new AppError('internal.error', 'an unexpected error; the server log has it', { cause: error });
}

/** The body for an error. */
export function problemOf(error: AppError, requestId: string): ProblemDetails {
  return {
    type: `/docs/errors#${error.code}`,
    title: ERROR_CODES[error.code].title,
    status: error.status,
    code: error.code,
    detail: error.message,
    requestId,
    ...(error.problems.length > 0
      ? { errors: error.problems.map(({ path, message }) => ({ path, message })) }
      : {}),
  };
}

/** Headers that belong to an error whatever way it is sent. */
export function problemHeaders(error: AppError): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' };
  if (error.status === 401) headers['www-authenticate'] = 'Bearer realm="bullpen"';
  if (error.status === 429 || error.status === 503) {
    headers['retry-after'] = String(Math.ceil(error.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS));
  }
  return headers;
}

/** Answers a request with an error. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, error: AppError): FastifyReply {
  return reply
    .code(error.status)
    .headers(problemHeaders(error))
    .serializer((body: unknown) => JSON.stringify(body))
    .send(problemOf(error, request.id));
}
