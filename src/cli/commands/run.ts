import { ApiError } from '../../client/errors.ts';
import type { PromptRequest } from '../../protocol/prompt.ts';
import type { Arguments } from '../arguments.ts';
import type { Command, CommandContext } from '../command.ts';
import { driveJob } from '../drive-job.ts';
import { CommandError, EXIT, usageError } from '../failures.ts';
import { runningServer } from '../find-server.ts';
import { type JobServer, joinServer, serverToWaitFor, startOwnServer } from '../job-server.ts';
import { REQUEST_OPTIONS, requestFields } from '../request-options.ts';

/**
 * The limit of the server, repeated here because its schema loads a library. A test compares the
 * two.
 */
export const MAX_PROMPT_BYTES = 1024 * 1024;

export const runCommand: Command = {
  name: 'run',
  usage: '[PROMPT | -] [OPTIONS]',
  summary: 'run a prompt and show the answer as it comes',
  details: `Text on stdin is appended to the prompt; without PROMPT, or with -, it is the
prompt. In a loop that reads its own stdin, add < /dev/null. The answer goes to
stdout, everything else to stderr.

The job runs in the current folder, unless --cwd names another. Without a running
server, a server is started for this job and stopped after it. Ctrl-C cancels the
job; a second Ctrl-C kills it and exits.`,
  options: {
    ...REQUEST_OPTIONS,
    detach: { type: 'boolean', short: 'd', help: 'print the job id and do not wait for the job' },
    json: { type: 'boolean', help: 'print NDJSON: the events, then the job (with --detach: the job)' },
  },
  examples: [
    'bullpen run "What does this project do?"',
    'git diff | bullpen run "Review this" > review.md',
    "bullpen run 'Fix the test' --allowed-tools 'Read,Edit,Bash(npm test)'",
    'id=$(bullpen run "Tidy the docs" --permission-mode acceptEdits --detach)',
  ],
  async run(context, args) {
    const detach = args.flag('detach');
    const request: PromptRequest = {
      cwd: context.cwd,
      // Without a terminal, a script waits.
      ...(detach || context.output.live ? {} : { onQuota: 'fail' }),
      ...requestFields(args, context.cwd, context.now()),
      prompt: await promptOf(context, args),
    };
    const cwd = request.cwd ?? context.cwd;
    await using server = await serverFor(context, cwd, detach);
    // Awaited here, because the server is disposed of when this function returns.
    return await driveJob({
      server,
      output: context.output,
      interrupts: context.interrupts,
      json: args.flag('json'),
      detach,
      cwd,
      create: (client, options) =>
        client.create(request, options).catch((error: unknown) => explainFolder(error, args, context.cwd)),
    });
  },
};

async function promptOf(context: CommandContext, { positionals }: Arguments): Promise<string> {
  const [given, ...more] = positionals;
  if (more.length > 0) {
    throw usageError(`one prompt at a time; put it in quotes (what is ${JSON.stringify(more[0])}?)`);
  }
  const words = given === undefined || given === '-' ? null : given;
  const stdin = { maxBytes: MAX_PROMPT_BYTES, what: 'stdin', optional: words !== null };
  const piped = await context.readStdin(stdin);
  const prompt = words === null || (piped ?? '').trim() === '' ? (words ?? piped) : `${words}\n${piped}`;
  if (prompt === null) throw usageError('which prompt? Give it in quotes, or on stdin');
  if (prompt.trim() === '') throw usageError('the prompt is empty');
  return prompt;
}

async function serverFor(context: CommandContext, cwd: string, detach: boolean): Promise<JobServer> {
  if (detach) return serverToWaitFor(context, cwd);
  const running = await runningServer(context);
  if (running.kind === 'running') return joinServer(context, running, cwd);
  const { why } = running;
  // A server that the environment names is not replaced by another one.
  if ((await context.finder.home()) === null) throw new CommandError(EXIT.unavailable, why);
  context.output.note(`${why}; starting one for this job`, 'dim');
  return startOwnServer(context, cwd);
}

/** Names the current folder in the error, because the caller did not name a folder. */
function explainFolder(error: unknown, args: Arguments, cwd: string): never {
  if (!(error instanceof ApiError) || error.code !== 'cwd.not_allowed') throw error;
  if (args.text('cwd') !== undefined) throw error;
  const why = `the server may not run jobs in the current folder ${cwd}: ${error.detail}`;
  throw new CommandError(EXIT.usage, `${why}; --cwd names another folder`, { cause: error });
}
