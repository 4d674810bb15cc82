/**
 * The error class and the table of error codes.
 *
 * Every layer uses these codes. Only `http` maps a code to a status, and only the command line maps
 * it to an exit code. An error crosses a process as data (`toWire`), without its stack.
 */

interface CodeMeaning {
  /** HTTP status when the error answers a request. */
  readonly status: number;
  /** Whether the same request may succeed when it is repeated unchanged. */
  readonly retryable: boolean;
  readonly title: string;
}

const meaning = (status: number, title: string, retryable = false): CodeMeaning => ({
  status,
  retryable,
  title,
});

/** Status, meaning and retryability of each code. `npm run generate` copies it to docs/api.md. */
export const ERROR_CODES = {
  'config.invalid': meaning(500, 'The settings are wrong'),
  'config.locked': meaning(500, 'Another server uses this data folder'),
  'internal.error': meaning(500, 'Something went wrong inside the server'),

  'request.invalid': meaning(400, 'The request is not valid'),
  'request.not_found': meaning(404, 'There is no such route'),
  'request.method_not_allowed': meaning(405, 'The route does not take this method'),
  'request.not_acceptable': meaning(406, 'The route cannot answer in the accepted types'),
  'request.timeout': meaning(408, 'The request took too long to arrive'),
  'request.too_large': meaning(413, 'The request body is too large'),
  'request.unsupported_media_type': meaning(415, 'The content type is not supported'),
  'request.misdirected': meaning(421, 'The Host header names another server'),
  'request.headers_too_large': meaning(431, 'The request headers are too large'),

  'auth.unauthenticated': meaning(401, 'A valid token is needed'),
  'auth.forbidden': meaning(403, 'The token does not allow this'),
  'auth.revoked': meaning(403, 'The key that made the job no longer counts'),
  'auth.too_many_attempts': meaning(429, 'Too many wrong tokens were sent', true),
  'auth.unavailable': meaning(503, 'Whether the token is valid cannot be checked now', true),
  'auth.unsigned': meaning(403, 'The record of the job is not signed by this server'),
  'auth.required': meaning(401, 'The CLI is not logged in or its key was refused'),

  'signature.missing': meaning(401, 'The request is not signed'),
  'signature.invalid': meaning(401, 'The signature is not valid'),
  'signature.expired': meaning(401, 'The signature is too old, or from the future'),
  'signature.replayed': meaning(401, 'The signature was used before'),

  'job.not_found': meaning(404, 'There is no such job'),
  'job.already_finished': meaning(409, 'The job has already ended'),
  'job.already_started': meaning(409, 'The job is running'),
  'job.not_finished': meaning(409, 'The job has not ended yet'),
  'job.already_retried': meaning(409, 'The job was retried before'),
  'batch.not_found': meaning(404, 'There is no such batch'),
  'process.not_found': meaning(404, 'There is no such process on this server'),
  'node.not_found': meaning(404, 'There is no such node'),
  'key.not_found': meaning(404, 'There is no such key'),
  'key.not_active': meaning(409, 'The key was revoked or has expired'),
  'project.not_found': meaning(404, 'There is no such project'),
  'provider.not_found': meaning(404, 'The server has no provider of this name'),
  'events.expired': meaning(410, 'The events after this cursor are no longer kept'),
  'session.not_found': meaning(404, 'There is no such session'),
  'session.closed': meaning(409, 'The session is closed'),
  'session.not_finished': meaning(409, 'A turn of the session has not ended yet'),
  'terminal.disabled': meaning(403, 'Terminals are switched off on this server'),
  'terminal.over': meaning(409, 'The program of the terminal has ended'),
  'terminal.command_unknown': meaning(400, 'The settings have no such command'),
  'session.wrong_kind': meaning(409, 'A session of this kind does not take this'),
  'approval.not_found': meaning(404, 'There is no such approval'),
  'approval.already_decided': meaning(409, 'The approval was decided otherwise, or is over'),
  'cwd.not_allowed': meaning(400, 'The working directory is not inside an allowed root'),
  'permission_mode.denied': meaning(403, 'The permission mode is not allowed here'),
  'tools.denied': meaning(403, 'A tool is not allowed for this caller'),
  'provider.denied': meaning(403, 'The provider is not allowed for this caller'),
  'provider.unknown': meaning(400, 'There is no such provider'),
  'provider.unsupported_option': meaning(422, 'The provider cannot honour an option'),
  'idempotency.key_reused': meaning(422, 'The Idempotency-Key was used with another request'),

  'limit.requests_per_minute': meaning(429, 'The caller or its project made too many requests', true),
  'limit.jobs_per_hour': meaning(429, 'The caller or its project made too many jobs in the last hour', true),
  'limit.max_queued': meaning(429, 'Too many jobs of the caller or its project wait for their start', true),
  'limit.usd_per_day': meaning(429, 'The caller or its project has spent the amount of the day', true),

  'limit.messages_per_second': meaning(429, 'The connection sent too many messages', true),
  'limit.connections': meaning(429, 'Too many connections are open', true),
  'limit.sessions': meaning(429, 'Too many sessions have a live process', true),

  'queue.expired': meaning(504, 'The job waited longer than its ttlMs', true),
  'queue.full': meaning(503, 'The queue takes no more jobs now', true),
  'redis.unavailable': meaning(503, 'Redis cannot be reached', true),
  'record.damaged': meaning(500, 'The stored record cannot be read'),
  'redis.refused': meaning(500, 'Redis refused a command: its rights or its data are wrong'),
  'server.busy': meaning(503, 'The server has too much to do now', true),
  'server.stopping': meaning(503, 'The server is stopping', true),
  'store.unavailable': meaning(503, 'The ledger cannot be written', true),

  'executor.unsupported': meaning(422, 'CLIs run on another host, where this is not possible'),
  'executor.unavailable': meaning(503, 'The executor on the other host cannot be reached', true),
  'execution.not_found': meaning(404, 'The executor knows no such execution'),
  'execution.id_reused': meaning(409, 'The id of the execution was used for another request'),

  'execution.cancelled': meaning(409, 'The execution was cancelled'),
  'execution.interrupted': meaning(409, 'The turn was interrupted'),
  'execution.awaiting_approval': meaning(409, 'The execution ended because a person has to answer'),
  'approval.expired': meaning(504, 'No answer came within approvalTimeoutMs'),
  'execution.quota': meaning(429, 'A usage limit of the account is reached'),
  'execution.overloaded': meaning(503, 'The vendor is overloaded or failing', true),
  'execution.budget': meaning(422, 'The execution spent its budget'),
  'execution.max_turns': meaning(422, 'The execution used its turns'),
  'execution.invalid_request': meaning(422, 'The CLI or the vendor refused the request'),
  'execution.permission_denied': meaning(422, 'A tool the prompt needed was denied'),
  'execution.cli_missing': meaning(503, 'The CLI is not installed or cannot be started'),
  'execution.timed_out': meaning(504, 'The execution ran longer than timeoutMs'),
  'execution.idle': meaning(504, 'The execution was silent for idleTimeoutMs'),
  'execution.output_limit': meaning(422, 'The execution wrote more than allowed'),
  'execution.resource_limit': meaning(503, 'The execution or the machine ran out of a resource', true),
  'execution.bad_output': meaning(502, 'The CLI ended without a usable result'),
  'execution.crashed': meaning(502, 'The CLI crashed or was killed'),
  'execution.lost': meaning(503, 'The server died or stopped while the execution ran', true),
  'execution.node_unavailable': meaning(503, 'No server can run this job now', true),
} as const satisfies Record<string, CodeMeaning>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** An error as data, as it crosses a process and as an outcome carries it. */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  /** RFC 3339: when a retry can succeed, if the vendor has said so; else null. */
  readonly resetsAt: string | null;
}

/** One mistake in an input. `path` is a JSON pointer into it. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

/** How much is left of a limit. */
export interface Rate {
  readonly limit: number;
  readonly remaining: number;
  /** Until all of it is free again. */
  readonly resetMs: number;
}

export interface AppErrorOptions {
  readonly cause?: unknown;
  /** Every mistake in the input. */
  readonly problems?: readonly Problem[];
  /** For 429 and 503: seconds until a retry can succeed. */
  readonly retryAfterSeconds?: number;
  /** RFC 3339: when a retry makes sense; null: not known. */
  readonly resetsAt?: string | null;
  /** The limit of the caller that is reached. */
  readonly rate?: Rate;
}

/** The only error thrown on purpose. `message` is a sentence that a user can act on. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly problems: readonly Problem[];
  readonly retryAfterSeconds: number | undefined;
  readonly resetsAt: string | null;
  readonly rate: Rate | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.problems = options.problems ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.resetsAt = options.resetsAt ?? null;
    this.rate = options.rate;
  }

  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }
}

/** An error as data, with `retryable` from the table. `resetsAt`: RFC 3339. */
export const wireError = (code: ErrorCode, message: string, resetsAt: string | null = null): WireError => ({
  code,
  message,
  retryable: ERROR_CODES[code].retryable,
  resetsAt,
});

/** Any thrown value as data. All but an AppError become `internal.error` without their message. */
export function toWire(error: unknown): WireError {
  if (error instanceof AppError) return wireError(error.code, error.message, error.resetsAt);
  return wireError('internal.error', 'an unexpected error; the server log has it');
}

/** Whether Redis is away or refused a command. Callers wait; no job fails because of it. */
export const isRedisTrouble = (error: unknown): boolean =>
  error instanceof AppError && (error.code === 'redis.unavailable' || error.code === 'redis.refused');

/** Whether the ledger cannot be written or read now. */
export const isLedgerTrouble = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'store.unavailable';

/** Whether a stored record cannot be read. */
export const isDamage = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'record.damaged';

/** The message of anything thrown, for a log line or the end of another message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A `cursor` that no answer of this list had. */
export function foreignCursor(): AppError {
  const message = 'is not a nextCursor of an earlier answer';
  return new AppError('request.invalid', `cursor ${message}`, { problems: [{ path: '/cursor', message }] });
}

export const keyReused = (): AppError =>
  new AppError('idempotency.key_reused', 'the Idempotency-Key was used with another request');
