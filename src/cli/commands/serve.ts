import { AppError } from '../../errors.ts';
import type { Command } from '../command.ts';
import { CommandError, usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';

export const serveCommand: Command = {
  name: 'serve',
  usage: '',
  summary: 'start the server: HTTP API, workers, executor',
  details: `Runs until SIGTERM or Ctrl-C; jobs that run may end first. Jobs run in the folder it is started in, unless
BULLPEN_CWD and BULLPEN_ROOTS say otherwise. The log is on stdout: lines for people on a terminal, else JSON.`,
  options: {},
  examples: ['cd ~/my-project && bullpen serve', 'PORT=4000 BULLPEN_CONCURRENCY=2 bullpen serve'],
  async run({ serve }, { positionals }) {
    if (positionals.length > 0) throw usageError(`serve takes no arguments, not ${positionals.join(' ')}`);
    try {
      return await serve();
    } catch (error) {
      // docs/operations.md: what is no matter of the settings is 1, whatever it is.
      if (!(error instanceof AppError) || error.code.startsWith('config.')) throw error;
      throw new CommandError(EXIT.failed, error.message, { cause: error });
    }
  },
};
