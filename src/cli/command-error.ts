import { EXIT, type ExitCode } from './exit-codes.ts';

/** Ends a command: its message goes to stderr as it is, its code to the shell. */
export class CommandError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: { readonly cause: unknown }) {
    super(message, options);
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}

/** What was typed is wrong. */
export const usageError = (message: string): CommandError => new CommandError(EXIT.usage, message);

/**
 * Said by every command that needs a server.
 * @param busy a server has the data folder and takes nothing: a second one would not help
 */
export const noServer = ({ why, busy }: { readonly why: string; readonly busy: boolean }): CommandError => {
  const advice = '; start one with `bullpen serve`, or set BULLPEN_URL and BULLPEN_TOKEN';
  return new CommandError(EXIT.unavailable, busy ? `${why}, for too long` : why + advice);
};
