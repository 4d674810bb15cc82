/** How a command fails: its exit code and its message. */
import { ApiError, UnreachableError } from '../client/errors.ts';
import { AppError, ERROR_CODES } from '../errors.ts';
import type { ServerPlace } from './find-server.ts';

/** The exit codes of `bullpen`, from sysexits.h, timeout(1) and the shells where these have one. */
export const EXIT = {
  succeeded: 0,
  failed: 1,
  usage: 64,
  unavailable: 69,
  tryAgain: 75,
  noPermission: 77,
  config: 78,
  timedOut: 124,
  cancelled: 130,
  readerGone: 141,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Printed by `bullpen --help`; docs/cli.md has the same texts. */
export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  succeeded: 'success; for `run`, `watch` and `retry`: the job succeeded',
  failed:
    'the job failed; `batch`: a prompt was refused or a job did not succeed; `doctor` found a problem; any unexpected error',
  usage: 'the command line is wrong, or the server refused the request',
  unavailable: 'no server is running or it accepts no jobs now; the CLI is not installed',
  tryAgain:
    'the job failed and may succeed later: vendor overloaded, usage limit reached, no resources, server lost',
  noPermission: 'the token is wrong, unreadable or not allowed to do this; or the CLI is not logged in',
  config:
    'a setting is wrong (including a port in use), another server uses the data folder, or a server of another version uses the same jobs',
  timedOut: 'the job ran, was silent, was queued or waited for an answer for too long',
  cancelled: 'the job was cancelled, or the command was interrupted',
  readerGone: 'the reader of stdout left before the end, as head(1) does',
};

/** Ends a command: the message goes to stderr, the exit code to the shell. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: { readonly cause: unknown }) {
    super(message, options);
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}

/** The command line is wrong. */
export const usageError = (message: string): CommandError => new CommandError(EXIT.usage, message);

/** The exit codes that do not follow from the status and `retryable` in the table of errors. */
const BY_CODE: Readonly<Record<string, ExitCode>> = {
  'auth.unauthenticated': EXIT.noPermission,
  'auth.forbidden': EXIT.noPermission,
  'auth.required': EXIT.noPermission,
  'permission_mode.denied': EXIT.usage,
  'tools.denied': EXIT.usage,
  'request.timeout': EXIT.unavailable,
  'config.invalid': EXIT.config,
  'config.locked': EXIT.config,
  'internal.error': EXIT.failed,
  'redis.refused': EXIT.config,
  'queue.expired': EXIT.timedOut,
  'execution.quota': EXIT.tryAgain,
  'execution.timed_out': EXIT.timedOut,
  'execution.idle': EXIT.timedOut,
  'execution.cancelled': EXIT.cancelled,
  'execution.interrupted': EXIT.cancelled,
  'approval.expired': EXIT.timedOut,
  'execution.cli_missing': EXIT.unavailable,
  'execution.node_unavailable': EXIT.unavailable,
  'queue.full': EXIT.unavailable,
  'redis.unavailable': EXIT.unavailable,
  'server.busy': EXIT.unavailable,
  'server.stopping': EXIT.unavailable,
  'store.unavailable': EXIT.unavailable,
};

const isKnown = (code: string): code is keyof typeof ERROR_CODES => Object.hasOwn(ERROR_CODES, code);

/**
 * The exit code for an error code.
 * @param status HTTP status of the answer, used for unknown codes; null for the error of a job
 */
export function exitCodeOf(code: string, status: number | null = null): ExitCode {
  const own = BY_CODE[code];
  if (own !== undefined) return own;
  if (code.startsWith('execution.')) {
    return isKnown(code) && ERROR_CODES[code].retryable ? EXIT.tryAgain : EXIT.failed;
  }
  const answered = status ?? (isKnown(code) ? ERROR_CODES[code].status : 500);
  if (answered === 401 || answered === 403) return EXIT.noPermission;
  if (answered === 429 || (answered > 500 && answered < 600)) return EXIT.unavailable;
  return answered >= 400 && answered < 500 ? EXIT.usage : EXIT.failed;
}

/** The exit code of a command that waited for a job. */
export function exitCodeOfJob(job: {
  readonly status: string;
  readonly outcome: { readonly error: { readonly code: string } | null } | null;
}): ExitCode {
  if (job.status === 'succeeded') return EXIT.succeeded;
  if (job.status === 'cancelled') return EXIT.cancelled;
  const code = job.outcome?.error?.code;
  return code === undefined ? EXIT.failed : exitCodeOf(code);
}

export interface FailureMessage {
  readonly text: string;
  readonly exitCode: ExitCode;
}

/**
 * The message and exit code for an error that a command threw.
 * @param place the server that the command used; null for none
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
  return { text: `no server is running ${where}; start one with \`bullpen up\``, exitCode };
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
