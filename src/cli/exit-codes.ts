/** The one table of exit codes of `bullpen`; docs/cli.md prints it. */
import { ERROR_CODES } from '../errors.ts';

/** Numbers from sysexits.h, timeout(1) and the shells, where they have one for it. */
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

export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  succeeded: 'done; for `run`, `watch` and `retry`: the job succeeded',
  failed:
    'the job failed; `batch`: not all were taken, or succeeded; `doctor`: something must be done; anything unexpected',
  usage: 'the command line is wrong, or the server refused what was asked',
  unavailable: 'no server is running, or it takes nothing now; the CLI is not installed',
  tryAgain: 'the job failed in a way that may pass: vendor overloaded or limiting, no resources, server lost',
  noPermission: 'the token is wrong, cannot be read or does not allow this, or the CLI is not logged in',
  config: 'a setting is wrong (a port in use, too), or another server uses the data folder',
  timedOut: 'the job ran, was silent or waited for too long',
  cancelled: 'the job was cancelled, or the command was interrupted',
  readerGone: 'what reads stdout has left before the end, as head(1) does',
};

/** Codes whose exit code does not follow from what the table of errors says of them. */
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
  'execution.timed_out': EXIT.timedOut,
  'execution.idle': EXIT.timedOut,
  'execution.cancelled': EXIT.cancelled,
  'execution.cli_missing': EXIT.unavailable,
  'execution.node_unavailable': EXIT.unavailable,
  'queue.full': EXIT.unavailable,
  'redis.unavailable': EXIT.unavailable,
  'server.stopping': EXIT.unavailable,
  'store.unavailable': EXIT.unavailable,
};

const isKnown = (code: string): code is keyof typeof ERROR_CODES => Object.hasOwn(ERROR_CODES, code);

/**
 * The exit code for an error's code.
 * @param status what the server answered; null when it is how a job ended. For codes this version does not know
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
