import { accessSync, constants, statSync } from 'node:fs';
import { AppError, messageOf } from '../errors.ts';

const CANNOT_START = new Set([
  'ENOENT',
  'EACCES',
  'EPERM',
  'ENOEXEC',
  'ENOTDIR',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
]);
const OUT_OF_RESOURCES = new Set(['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM', 'E2BIG', 'ETXTBSY']);

/** `code` of a launch whose process could not be connected with the server. */
export const NO_STREAMS = 'NO_STREAMS';

/** What the machine lacks, whatever the job. */
const SHORTAGES = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', NO_STREAMS]);

/** Whether a failed start says nothing of the job, so that the same start may succeed later. */
export const isShortage = (error: unknown): boolean =>
  SHORTAGES.has(systemCode(error instanceof AppError ? error.cause : error));

/** `code` of a launch whose working directory is not the one that was asked for. */
export const CWD_GONE = 'CWD_GONE';

/** Whether a system error says that a path cannot be used as it is. */
export const cannotStart = (code: string): boolean => CANNOT_START.has(code);

/** The `code` of a system error; an empty string for anything else. */
export const systemCode = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/**
 * What a failed spawn means. Linux reports a missing working directory and a missing interpreter exactly like
 * a missing binary (ENOENT), so the file system is asked which one it was. Sync, because it runs on failure only.
 */
export function spawnError(error: unknown, binary: string, cwd: string): AppError {
  const code = systemCode(error);
  if (CANNOT_START.has(code) || code === CWD_GONE) {
    const reason = cwdProblem(cwd) ?? (code === CWD_GONE ? 'was replaced before the CLI was started' : null);
    if (reason !== null) {
      return new AppError('cwd.not_allowed', `the working directory ${cwd} ${reason}`, { cause: error });
    }
    return new AppError(
      'execution.cli_missing',
      `the CLI ${binary} ${binaryProblem(binary) ?? `cannot be started (${code}); if it is a script, its interpreter may be missing`}`,
      { cause: error },
    );
  }
  if (OUT_OF_RESOURCES.has(code) || code === NO_STREAMS) {
    return new AppError(
      'execution.resource_limit',
      `the CLI ${binary} cannot be started: ${RESOURCE[code] ?? code}`,
      {
        cause: error,
      },
    );
  }
  if (code === 'ERR_INVALID_ARG_VALUE') {
    return new AppError('execution.invalid_request', 'an argument or variable of the CLI holds a NUL byte', {
      cause: error,
    });
  }
  return new AppError('internal.error', `the CLI ${binary} cannot be started: ${messageOf(error)}`, {
    cause: error,
  });
}

const RESOURCE: Readonly<Record<string, string>> = {
  EAGAIN: 'the limit of processes is reached',
  EMFILE: 'the server has too many open files',
  ENFILE: 'the machine has too many open files',
  ENOMEM: 'the machine is out of memory',
  E2BIG: 'its arguments and environment are too large',
  ETXTBSY: 'its file is being written',
  [NO_STREAMS]: 'the launcher cannot connect to the server',
};

/** Why `binary` cannot be executed, or null when nothing is seen to be wrong with it. */
export function binaryProblem(binary: string): string | null {
  try {
    if (!statSync(binary).isFile()) return 'is not a file';
    accessSync(binary, constants.X_OK);
    return null;
  } catch (error) {
    return systemCode(error) === 'EACCES' ? 'is not executable' : 'does not exist';
  }
}

function cwdProblem(cwd: string): string | null {
  try {
    if (!statSync(cwd).isDirectory()) return 'is not a directory';
    accessSync(cwd, constants.X_OK);
    return null;
  } catch (error) {
    return systemCode(error) === 'EACCES' ? 'cannot be entered' : 'does not exist';
  }
}
