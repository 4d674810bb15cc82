/** Signed HTTP requests to an executor on another host, over connections that stay open. */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { signRequest } from '../auth/request-signature.ts';
import { AppError, messageOf } from '../errors.ts';
import { Agent as HttpAgent, request as httpRequest } from '../node-http.ts';
import { VERSION_HEADER } from '../protocol/executor-service.ts';

/** An answer is not larger. A stream has no such limit. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Idle connections. */
const MAX_FREE_SOCKETS = 8;

/** The cause of an error: no connection was made, so the executor did not get the request. */
class NotSent extends Error {}

/**
 * Whether a request has certainly not reached the executor. Without that, a request that got no
 * answer may have been obeyed.
 */
export const wasNotSent = (error: unknown): boolean =>
  error instanceof AppError && error.cause instanceof NotSent;

export interface ExecutorRequest {
  readonly method: 'GET' | 'POST';
  /** With the query, from `/` on. */
  readonly path: string;
  /** Sent as JSON. Left out: no body. */
  readonly body?: unknown;
  /** Aborts the request, and the stream of its answer. */
  readonly signal?: AbortSignal;
}

export interface ExecutorAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface SignedRequests {
  /** @throws AppError executor.unavailable: there was no answer within the timeout */
  ask(request: ExecutorRequest): Promise<ExecutorAnswer>;
  /**
   * Resolves with the stream of an answer with status 200, which the caller destroys, or with
   * another answer.
   * @throws AppError executor.unavailable: there was no answer within the timeout
   */
  open(request: ExecutorRequest): Promise<IncomingMessage | ExecutorAnswer>;
  /** Closes idle connections. */
  close(): void;
}

export function createSignedRequests({
  url,
  secret,
  version,
  timeoutMs,
}: {
  /** `http://host:port` or `https://host:port` */
  readonly url: string;
  readonly secret: string;
  /** Of this server. Left out: it is not sent. */
  readonly version?: string | undefined;
  /** For an answer, or for the head of a stream. */
  readonly timeoutMs: number;
}): SignedRequests {
  const base = new URL(url);
  const isHttps = base.protocol === 'https:';
  const agentOptions = { keepAlive: true, maxFreeSockets: MAX_FREE_SOCKETS };
  // Answers are not signed: NODE_TLS_REJECT_UNAUTHORIZED=0, as for another program, does not count.
  const agent = isHttps
    ? new HttpsAgent({ ...agentOptions, rejectUnauthorized: true })
    : new HttpAgent(agentOptions);
  const send = isHttps ? httpsRequest : httpRequest;

  function headOf(asked: ExecutorRequest, timeout: AbortSignal): Promise<IncomingMessage> {
    const { method, path, signal } = asked;
    const body = asked.body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(asked.body));
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = send({
      ...{ agent, method, path, host: base.hostname.replace(/^\[|\]$/g, ''), port: base.port },
      headers: {
        host: base.host,
        ...(version !== undefined && { [VERSION_HEADER]: version }),
        ...(body.length > 0 && { 'content-type': 'application/json', 'content-length': body.length }),
        ...signRequest({ secret, now: Date.now(), nonce: randomUUID(), method, pathAndQuery: path, body }),
      },
      ...(signal && { signal }),
    });
    let isConnected = false;
    let answer: IncomingMessage | null = null;
    request.on('socket', (socket) => {
      isConnected = request.reusedSocket;
      if (!isConnected)
        socket.once(isHttps ? 'secureConnect' : 'connect', () => {
          isConnected = true;
        });
    });
    const onTimeout = (): void => {
      const missing = isConnected ? 'answer' : `${isHttps ? 'TLS ' : ''}connection`;
      (answer ?? request).destroy(new Error(`no ${missing} within ${timeoutMs} ms`));
    };
    timeout.addEventListener('abort', onTimeout, { once: true });
    request.on('error', (error) => reject(unavailable(error, isConnected)));
    request.on('response', (response) => {
      answer = response;
      // A broken body is an error of its reader.
      response.on('error', () => undefined);
      resolve(response);
    });
    request.end(body);
    return promise;
  }

  /** Asks, and reads what `read` takes of the answer, within the timeout. */
  async function inTime<T>(
    asked: ExecutorRequest,
    read: (response: IncomingMessage) => T,
  ): Promise<Awaited<T>> {
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), timeoutMs);
    try {
      return await read(await headOf(asked, timeout.signal));
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    ask: (asked) => inTime(asked, answerOf),
    open: (asked) =>
      inTime(asked, (response) => (response.statusCode === 200 ? response : answerOf(response))),
    close: () => agent.destroy(),
  };
}

async function answerOf(response: IncomingMessage): Promise<ExecutorAnswer> {
  const { statusCode: status = 0, headers } = response;
  return { status, headers, body: await bodyOf(response) };
}

/** @throws AppError executor.unavailable */
async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response) {
      const part = chunk as Buffer; // no encoding is set
      bytes += part.length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(part);
    }
  } catch (error) {
    throw unavailable(error, true);
  }
  return Buffer.concat(chunks);
}

/** The error for a request without an answer that can be read. */
export function unavailable(error: unknown, wasSent: boolean): AppError {
  const why = messageOf(error) || 'the connection failed'; // an AggregateError has no message
  const cause = wasSent ? error : new NotSent(why, { cause: error });
  return new AppError('executor.unavailable', `the executor cannot be reached: ${why}`, { cause });
}
