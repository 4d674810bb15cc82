import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ulid } from 'ulid';
import { AppError, type ErrorCode } from '../errors.ts';
import { createLogLimit } from '../log.ts';
import { STATUS_CODES } from '../node-http.ts';
import { problemOf } from '../protocol/problem.ts';
import type { Redactor } from '../redactor.ts';
import { SECURITY_HEADERS } from './headers.ts';
import { type HttpApp, takeOver } from './http-app.ts';
import { rateHeaders } from './rate-limits.ts';
import type { Connections } from './shutdown.ts';

export const PROBLEM_TYPE = 'application/problem+json';
const DEFAULT_RETRY_AFTER_SECONDS = 2;

/** How an error is answered: its content type and its body. */
export interface ErrorAnswer {
  readonly type: string;
  body(error: AppError, requestId: string): object;
}

const PROBLEM: ErrorAnswer = { type: PROBLEM_TYPE, body: problemOf };

/**
 * Answers every error as a problem, or as `answer` says, without secrets. Errors of the server are
 * logged with their cause.
 */
export function errorHandler(app: HttpApp, redactor: Redactor, answer: ErrorAnswer = PROBLEM): void {
  const refused = createLogLimit();
  app.setErrorHandler((error, request, reply) => {
    const problem = ofRequest(toAppError(error), request);
    logProblem(problem, error, request, refused);
    return sendProblem(reply, problem, redactor.value(answer.body(problem, request.id)), answer.type);
  });
}

/**
 * Answers 404 for an unknown path, and 405 with Allow for a known path with another method. Call it
 * before the first route is added.
 * @param detail of the 404
 */
export function notFound(
  app: HttpApp,
  detail = 'there is nothing at this path; GET / lists what there is',
): void {
  const paths = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = paths.get(url) ?? { pattern: patternOf(url), methods: new Set() };
    for (const name of [method].flat()) known.methods.add(name);
    paths.set(url, known);
  });
  app.setNotFoundHandler((request, reply) => {
    const [path = ''] = request.url.split('?', 1);
    const known = [...paths.values()].filter(({ pattern }) => pattern.test(path));
    const methods = [...new Set(known.flatMap((one) => [...one.methods]))];
    if (methods.length === 0 || methods.includes(request.method)) {
      throw new AppError('request.not_found', detail);
    }
    reply.header('allow', methods.join(', '));
    throw new AppError('request.method_not_allowed', `this path takes ${methods.join(', ')}`);
  });
}

/** The pattern of a route as a regular expression: `:name` is one segment, `*` is the rest. */
function patternOf(url: string): RegExp {
  const source = url
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:\w+/g, '[^/]+')
    .replaceAll('*', '.*');
  return new RegExp(`^${source}$`);
}

/** Answers what the router refuses before any hook: a malformed path, a too long parameter. */
export function answerFrameworkError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
  const problem = toAppError(error);
  sendProblem(reply, problem, problemOf(problem, request.id));
}

/**
 * Answers bytes that are no HTTP request, then closes the connection, because the start of the next
 * request is unknown. If a complete request came before those bytes, its answer is sent first: it
 * may have created a job.
 */
export function answerClientError(code: string, socket: Socket, connections: Connections): void {
  const answering = connections.answering(socket);
  if (answering?.req.complete === true) {
    connections.closeAfterAnswer(socket);
    return;
  }
  if (socket.writable && answering?.headersSent !== true && code !== 'ECONNRESET') {
    socket.write(rawProblem(parserError(code)));
  }
  socket.destroySoon();
}

/** An error of Node's HTTP parser as an AppError. */
function parserError(code: string): AppError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new AppError('request.headers_too_large', 'the request line and headers are too large');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new AppError('request.timeout', 'the request did not arrive in time');
    default:
      return new AppError('request.invalid', 'this is not a valid HTTP request');
  }
}

/** A whole HTTP answer as text, for a connection without a request. */
function rawProblem(error: AppError): string {
  const body = JSON.stringify(problemOf(error, ulid()));
  const headers = Object.entries({
    ...SECURITY_HEADERS,
    ...problemHeaders(error),
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\n${lines}\r\n${body}`;
}

/** Answers at once, past all other hooks: for a refusal that has to cost as little as it can. */
export function refuseAtOnce(request: FastifyRequest, reply: FastifyReply, error: AppError): void {
  const body = JSON.stringify(problemOf(error, request.id));
  takeOver(reply).writeHead(error.status, problemHeaders(error)).end(body);
}

function sendProblem(
  reply: FastifyReply,
  error: AppError,
  problem: object,
  type: string = PROBLEM_TYPE,
): FastifyReply {
  return reply
    .code(error.status)
    .headers({ ...problemHeaders(error), 'content-type': type })
    .serializer((body: unknown) => JSON.stringify(body))
    .send(problem);
}

function problemHeaders(error: AppError): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' };
  if (error.status === 401) {
    const scheme = error.code.startsWith('signature.') ? 'HMAC-SHA256' : 'Bearer';
    headers['www-authenticate'] = `${scheme} realm="bullpen"`;
  }
  if (error.status === 429 || error.status === 503) {
    headers['retry-after'] = String(Math.ceil(error.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS));
  }
  return error.rate === undefined ? headers : { ...headers, ...rateHeaders(error.rate) };
}

/** Errors of Fastify and its parsers: our code and message for each of their codes. */
const FRAMEWORK_ERRORS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['request.too_large', 'the body is larger than this server takes'],
  FST_ERR_CTP_INVALID_JSON_BODY: [
    'request.invalid',
    'the body is not valid JSON, or has a "__proto__" or "constructor.prototype" key',
  ],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'request.unsupported_media_type',
    'the route does not take a body of this type; send JSON with Content-Type: application/json',
  ],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['request.invalid', 'the body is not as long as Content-Length says'],
  FST_ERR_BAD_URL: ['request.invalid', 'the path is not validly percent-encoded'],
  FST_ERR_MAX_PARAM_LENGTH: ['request.not_found', 'there is nothing at this path'],
};

/** Anything thrown during a request as an AppError, without the details of unknown errors. */
function toAppError(error: unknown): AppError {
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

/** A POST that has met an outage of Redis may have been done. Its answer says so. */
function ofRequest(error: AppError, { method, principal }: FastifyRequest): AppError {
  if (error.code !== 'redis.unavailable' || method !== 'POST' || principal === null) return error;
  const { message, retryAfterSeconds = DEFAULT_RETRY_AFTER_SECONDS } = error;
  const detail = `${message}; this request may have been done: look before you repeat it`;
  return new AppError(error.code, detail, { cause: error, retryAfterSeconds });
}

function logProblem(
  problem: AppError,
  thrown: unknown,
  request: FastifyRequest,
  refused: ReturnType<typeof createLogLimit>,
): void {
  if (problem.status < 500) return;
  const fields = { err: thrown, code: problem.code, route: request.routeOptions.url ?? null };
  if (problem.code === 'internal.error') {
    request.log.error(fields, 'request failed');
    return;
  }
  const requests = refused(problem.code); // a server that refuses, refuses many
  if (requests !== null) request.log.warn({ ...fields, requests }, 'request refused');
}
