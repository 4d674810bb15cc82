import type { Command } from '../command.ts';
import { usageError } from '../failures.ts';
import { untilStopped } from './server.ts';

export const executorCommand: Command = {
  name: 'executor',
  usage: '',
  summary: 'run agent CLIs on this host for a server on another one',
  details: `Serves a server that has BULLPEN_EXECUTOR=http and this address in
CLAUDE_SERVICE_URL. It needs no Redis. It listens on CLAUDE_SERVICE_HOST and
CLAUDE_SERVICE_PORT (127.0.0.1:3001). CLAUDE_SERVICE_SECRET, or a file that
CLAUDE_SERVICE_SECRET_FILE names, has the secret of both sides.

Runs until SIGTERM or Ctrl-C, and lets running executions end. They run in the
folders of BULLPEN_ROOTS on this host. Its data folder is BULLPEN_HOME, which it
cannot share with a server.`,
  options: {},
  examples: [
    'CLAUDE_SERVICE_SECRET_FILE=~/.bullpen-secret bullpen executor',
    'BULLPEN_ROOTS=/srv/work CLAUDE_SERVICE_PORT=4001 bullpen executor',
  ],
  async run({ serveExecutor }, { positionals }) {
    if (positionals.length > 0) throw usageError(`executor takes no arguments, not ${positionals.join(' ')}`);
    return untilStopped(serveExecutor());
  },
};
