import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { ulid } from 'ulid';
import { AppError } from '../../errors.ts';
import { problemHeaders, problemOf } from '../problem.ts';
import type { Connections } from './connections.ts';

/** What Node's parser refuses before there is a request, as the error it would have been. */
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

/**
 * Answers a connection whose bytes are no request, then closes it: after such bytes nobody knows where the
 * next request would begin. A whole request before them keeps its answer: it may have made a job.
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

function rawProblem(error: AppError): string {
  const body = JSON.stringify(problemOf(error, ulid()));
  const headers = Object.entries({
    ...problemHeaders(error),
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
    'x-content-type-options': 'nosniff',
  });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\n${lines}\r\n${body}`;
}
