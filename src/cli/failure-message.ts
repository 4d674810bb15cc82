import { ApiError, UnreachableError } from '../client/errors.ts';
import { AppError } from '../errors.ts';
import { CommandError } from './command-error.ts';
import { EXIT, type ExitCode, exitCodeOf } from './exit-codes.ts';
import type { ServerPlace } from './find-server.ts';

/** What a failed command says, and its exit code. */
export interface FailureMessage {
  readonly text: string;
  readonly exitCode: ExitCode;
}

/**
 * Anything a command threw, in words a person can act on.
 * @param place the server that was asked; null when none was
 */
export function failureMessage(error: unknown, place: ServerPlace | null): FailureMessage {
  if (error instanceof CommandError) return { text: error.message, exitCode: error.exitCode };
  if (error instanceof UnreachableError) return unreachable(error, place);
  if (error instanceof ApiError) return refused(error, place);
  if (error instanceof AppError) return { text: error.message, exitCode: exitCodeOf(error.code) };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { text, exitCode: EXIT.failed };
}

function unreachable(error: UnreachableError, place: ServerPlace | null): FailureMessage {
  const exitCode = EXIT.unavailable;
  if (!error.refused) return { text: error.message, exitCode };
  const where = place === null ? 'there' : `at ${place.url}`;
  return { text: `no server is running ${where}; start one with \`bullpen serve\``, exitCode };
}

function refused(error: ApiError, place: ServerPlace | null): FailureMessage {
  const exitCode = exitCodeOf(error.code, error.status);
  if (error.code === 'auth.unauthenticated') {
    const from = place === null ? '' : ` (from ${place.tokenFrom})`;
    return { text: `the token${from} is wrong: the server at ${place?.url ?? ''} refuses it`, exitCode };
  }
  if (error.status === 503) return { text: `the server is not ready: ${error.detail}`, exitCode };
  const request = error.status >= 500 && error.requestId !== null ? ` (request ${error.requestId})` : '';
  const places = error.errors
    .filter(({ message }) => !error.detail.includes(message))
    .map(({ path, message }) => `  ${path.replace(/^\//, '')}: ${message}`);
  return { text: [`${error.code}: ${error.detail}${request}`, ...places].join('\n'), exitCode };
}
